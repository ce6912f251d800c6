/* headwater
description: What passengers of each airline met with, from the port of departures.
owner: commercial@example.com
checks: [{unique: [carrier]}]
*/
select
  carrier,
  count(*) as departures,
  count(*) filter (cancelled) as cancelled,
  count(*) filter (dep_delay >= $late_minutes) as late,
  count(distinct dest) as destinations
from main.departures_v1
group by all
