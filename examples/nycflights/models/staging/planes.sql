/* headwater
description: Planes and what was known of each, when (slowly changing, type 2).
materialize: snapshot
store: lakehouse
key: tailnum
*/
select tailnum, cast(year as integer) as built, manufacturer, model, engines, seats
from registry.planes
