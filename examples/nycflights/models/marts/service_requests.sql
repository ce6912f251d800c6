/* headwater
description: What the weather service was asked, and how it answered.
checks: [{unique: [path, status]}]
*/
select
  regexp_extract(path, '^[^?]*') as path,
  status,
  count(*) as requests,
  sum(coalesce(bytes, 0)) as bytes
from service.access
group by all
