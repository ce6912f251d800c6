/* headwater
description: Airports by code.
materialize: view
*/
select faa as airport, name, lat, lon, tzone from registry.airports
