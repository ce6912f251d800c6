/* headwater
description: Flights with the last weather known at their airport before they left, cancelled ones before they should have.
store: lakehouse
columns:
  weather_age: {checks: [{range: {min: 0}}]}
*/
select
  f.departed_on,
  f.carrier,
  f.flight,
  f.tailnum,
  f.origin,
  f.dest,
  f.cancelled,
  f.dep_delay,
  f.left_at,
  w.temp_f,
  w.wind_mph,
  w.precip_in,
  w.visib_mi,
  date_diff('minute', w.observed_at, f.left_at) as weather_age
from staging.flights as f
asof left join weather.observations as w
  on f.origin = w.origin and f.left_at >= w.observed_at
