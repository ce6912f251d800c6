/* headwater
description: Share of departures on time, per airline.
columns:
  on_time: {checks: [{range: {min: 0, max: 1}}]}
*/
select
  a.name as airline,
  sum(d.departures) as departures,
  cast(1 - sum(d.late + d.cancelled) / sum(d.departures) as decimal(6, 4)) as on_time
from marts.daily_delays as d
join reference.airlines as a using (carrier)
group by all
