/* headwater
description: Departures per manufacturer, by what is known of each plane now.
*/
select
  coalesce(p.manufacturer, 'unknown') as manufacturer,
  count(distinct f.tailnum) as planes,
  count(*) as departures,
  cast(avg(2013 - p.built) as decimal(5, 1)) as mean_age
from staging.flights as f
left join staging.planes as p on p.tailnum = f.tailnum and p.valid_to is null
where f.tailnum is not null
group by all
