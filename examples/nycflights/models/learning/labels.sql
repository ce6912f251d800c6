/* headwater
description: Whether a departure was late, at the hour it was planned for.
store: lake
*/
select
  carrier,
  origin,
  hour(scheduled_hour) as planned_hour,
  scheduled_hour as planned_at,
  dep_delay >= $late_minutes as late
from staging.flights
where not cancelled
