/* headwater
description: One row per departure, typed and named; cancelled ones have no dep_time.
materialize: incremental
store: lakehouse
time: departed_on
every: month
start: 2013-01-01
columns:
  carrier: {checks: [not_null]}
  origin: {checks: [{accepted_values: [EWR, JFK, LGA]}]}
  distance: {checks: [{range: {min: 1}}]}
*/
select
  cast(f.time_hour as date) as departed_on,
  f.time_hour as scheduled_hour,
  f.time_hour + to_minutes(f.sched_dep_time % 100 + coalesce(f.dep_delay, 0)) as left_at,
  f.carrier,
  f.flight,
  f.tailnum,
  f.origin,
  f.dest,
  f.dep_time is null as cancelled,
  f.dep_delay,
  f.arr_delay,
  f.air_time,
  f.distance
from faa.flights as f
