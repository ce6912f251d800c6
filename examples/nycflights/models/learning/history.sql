/* headwater
description: How often departures of an airline were late at an airport and hour of day, in the four weeks before each day.
store: lake
*/
with days as (
  select
    carrier,
    origin,
    hour(scheduled_hour) as planned_hour,
    departed_on,
    count(*) as departures,
    count(*) filter (dep_delay >= $late_minutes) as late
  from staging.flights
  where not cancelled
  group by all
)
select
  carrier,
  origin,
  planned_hour,
  cast(departed_on as timestamp) as known_at,
  sum(late) over before / sum(departures) over before as late_share,
  planned_hour as hour_of_day
from days
window before as (
  partition by carrier, origin, planned_hour
  order by departed_on range between interval 28 days preceding and interval 1 day preceding
)
