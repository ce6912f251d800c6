/* headwater
description: Airports by code.
materialize: view
*/
select faa as airport, name, lat, lon, tzone from reference.airports
