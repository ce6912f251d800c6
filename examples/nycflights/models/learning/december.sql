/* headwater
description: The departures of December, to be given scores.
materialize: view
*/
select distinct carrier, origin, planned_hour, planned_at from learning.labels where planned_at >= '2013-12-01'
