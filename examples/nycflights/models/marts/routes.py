import headwater as hw


@hw.model(
    inputs={"flights": "staging.flights", "airports": "staging.airports"},
    store="lake",
    checks=[{"unique": ["origin", "dest"]}, {"row_count": {"min": 100}}],
)
def routes(flights: hw.Relation, airports: hw.Relation) -> hw.Relation:
    """Departures and distance of every route, with the destination's name."""
    flown = flights.filter("not cancelled").aggregate(
        "origin, dest, count(*) as departures, max(distance) as miles", "origin, dest"
    )
    named = flown.set_alias("r").join(airports.set_alias("a"), "r.dest = a.airport", how="left")
    return named.project("r.origin, r.dest, a.name as destination, r.departures, r.miles")
