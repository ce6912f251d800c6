/* headwater
description: What the weather service was asked, and whether it ever refused that.
store: lake
checks: [{unique: [path]}]
*/
select
  path,
  path as asked,
  cast(max(time) as timestamp) as last_asked,
  bool_or(status >= 400) as refused
from service.access
group by path
