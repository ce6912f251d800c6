/* headwater
description: Delays by airport and visibility.
checks: [{unique: [origin, visibility]}]
*/
select
  s.name as airport,
  d.origin,
  case when d.visib_mi < 1 then 'under 1 mile' when d.visib_mi < 5 then '1 to 5 miles' else '5 miles and more' end
    as visibility,
  count(*) as departures,
  count(*) filter (d.cancelled) as cancelled,
  cast(avg(d.dep_delay) as decimal(9, 2)) as mean_delay
from staging.departures as d
join weather.stations as s on s.origin = d.origin
where d.visib_mi is not null
group by all
