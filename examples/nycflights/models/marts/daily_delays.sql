/* headwater
description: Delays per day, airline and airport of departure.
materialize: incremental
time: day
every: month
start: 2013-01-01
checks:
  - unique: [day, carrier, origin]
  - {sql: select * from this where late > departures, name: late_within_departures}
  - {relationship: {to: reference.airlines, field: carrier}, column: carrier}
*/
select
  f.departed_on as day,
  f.carrier,
  f.origin,
  count(*) as departures,
  count(*) filter (f.cancelled) as cancelled,
  count(*) filter (f.dep_delay >= $late_minutes) as late,
  cast(avg(f.dep_delay) as decimal(9, 2)) as mean_delay
from staging.flights as f
group by all
