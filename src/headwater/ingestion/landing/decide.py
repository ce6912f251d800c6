"""What a load changes: decided over all of its staged rows, before anything is visible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headwater.contracts import Change, Select, Staged
from headwater.core.commit import holds_entries, merge_positions
from headwater.core.fragments import NO_PREDICATE, NO_SELECT, PredicateSql, SelectSql, quote_identifier, quote_text
from headwater.core.policies import DeletePolicy, LoadMode
from headwater.errors import CheckFailedError, ConnectorError
from headwater.ingestion import (
    check_emptied,
    check_empty,
    check_rejected,
    compile_fresh,
    compile_merge,
    compile_new_rejects,
    compile_ties,
    digest_query,
    merge_ties,
)
from headwater.ingestion.landing.deleted import find_deleted, flag_deleted
from headwater.ingestion.landing.log import change_by_log
from headwater.ingestion.landing.vanished import check_vanished

if TYPE_CHECKING:
    from headwater.ingestion.landing.facts import LoadFacts

_GONE = SelectSql("SELECT * FROM temp._hw_gone")
_FLAGGED = SelectSql("SELECT * FROM temp._hw_flagged")
_REJECTS = SelectSql("SELECT * FROM temp._hw_rejects")
_DOUBLES = SelectSql("SELECT * FROM temp._hw_merge WHERE _outcome = 'duplicate'")


@dataclass(frozen=True, slots=True)
class LoadDecision:
    """A decided load: the change, the position that goes with it, new rejects, the rows' digest (full loads).

    `superseded` counts the rows that another one of the same key has beaten by its cursor.
    """

    change: Change
    position: dict[str, Any]
    rejected: int = 0
    digest: str = ""
    superseded: int = 0


def decide_load(facts: LoadFacts) -> LoadDecision | None:
    """Decide a load; None when there is nothing to write, neither a position nor a changed declaration.

    Staged chunks are written off by a commit, though it says nothing new: the next load would take them for its own.

    Raises:
        CheckFailedError: A limit is broken (`max_rejected`, `max_deleted`, an empty source).
        ConnectorError: The store cannot do what the load needs.
    """
    if not facts.rows and (not facts.replaces or facts.flags_whole_load):
        return _nothing_new(facts)
    _raise_first([check_vanished(facts)])
    landing = _decide(facts)
    silent = landing.change.mode == "record" and not landing.rejected and not _tells(facts, landing.position)
    if silent and not facts.parts:
        return None
    if facts.ingest.key and facts.rows and facts.ingest.load != LoadMode.CDC:
        superseded = facts.count(SelectSql("SELECT * FROM temp._hw_merge WHERE _outcome = 'superseded'"))
        return replace(landing, superseded=superseded)
    return landing


def judged_rejects(facts: LoadFacts) -> SelectSql:
    """Return the rejects of a load that is refused; those that came second with a key, once rows were compared."""
    judged = "SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = '_hw_rejects'"
    return _REJECTS if facts.connection.execute(judged).fetchall() else facts.rejects


def _decide(facts: LoadFacts) -> LoadDecision:
    if facts.ingest.load == LoadMode.CDC and facts.rows:
        return _logged(facts)
    if facts.flags_whole_load:
        landing = _addition(facts)
        return replace(landing, position={**facts.position, "complete": True})
    return _replacement(facts) if facts.replaces else _addition(facts)


def _logged(facts: LoadFacts) -> LoadDecision:
    rejects, fresh, rejected = _settle_rejects(facts, facts.rejects)
    _raise_first([_check_rejected(facts, facts.good, rejected)])
    position = {**facts.position, "complete": True} if facts.replaces else _kept(facts)
    return LoadDecision(replace(change_by_log(facts), rejects=rejects), position, fresh)


def _nothing_new(facts: LoadFacts) -> LoadDecision | None:
    deletes, rows = find_deleted(facts), facts.no_rows
    if facts.ingest.flags_deletes:
        deletes, rows = NO_SELECT, _flagged(facts, deletes, rows)
    if deletes or rows != facts.no_rows:
        change = Change("merge", Select(rows), facts.columns, key=tuple(facts.ingest.key), deletes=deletes)
        return LoadDecision(change, _kept(facts))
    return LoadDecision(Change("record"), _kept(facts)) if _tells(facts, facts.position) else None


def _tells(facts: LoadFacts, position: dict[str, Any]) -> bool:
    """Whether a commit without rows says anything that the table's last one does not."""
    old = facts.state.position if facts.state else {}
    return facts.restated or merge_positions([old, position]) != old


def _kept(facts: LoadFacts) -> dict[str, Any]:
    """Return the position of a commit without rows: what was known stays known."""
    known = facts.state.position if facts.state else {}
    old = {key: value for key, value in known.items() if not holds_entries(key, value)}
    return merge_positions([old, facts.position])


def _replacement(facts: LoadFacts) -> LoadDecision:
    rows, rejects = facts.rows or facts.no_rows, facts.rejects
    if facts.ingest.key and facts.rows:
        rows, rejects = _one_per_key(facts, current=None)
    rejects, fresh, rejected = _settle_rejects(facts, rejects)
    good = facts.count(rows) if facts.ingest.key else facts.good
    limits = [_check_rejected(facts, good, rejected)]
    if facts.exists:
        assert facts.state is not None
        assert facts.state.commit is not None
        there = facts.state.commit.rows
        limits.append(
            check_empty(facts.table, facts.ingest.allow_empty, good=good, rejected=rejected, current_rows=there)
        )
    _raise_first(limits)
    if facts.ingest.deletes == DeletePolicy.COMPARE_KEYS and not facts.full:
        find_deleted(facts)  # what is gone goes with the replacement, in the limits that were set
    digest = _digest(facts, rows)
    ties = _first_ties(facts, rows)
    position = {**facts.position, **({"ties": ties} if ties else {}), "complete": True}
    if not facts.full and facts.exists and _same_rows(facts, digest):
        return LoadDecision(Change("record", rejects=rejects), position, fresh, digest)
    landed = Select(rows) if facts.ingest.key else Staged(rows, facts.parts)
    return LoadDecision(Change("replace", landed, facts.columns, rejects=rejects), position, fresh, digest)


def _check_rejected(facts: LoadFacts, good: int, rejected: int) -> CheckFailedError | None:
    limit = facts.ingest.max_rejected
    return check_rejected(facts.table, limit, good=good, rejected=rejected, swallowed=facts.swallowed)


def _same_rows(facts: LoadFacts, digest: str) -> bool:
    assert facts.state is not None
    assert facts.state.commit is not None
    known = [column.name for column in facts.state.columns]
    return facts.state.commit.digest == digest and known == [column.name for column in facts.columns]


def _addition(facts: LoadFacts) -> LoadDecision:
    assert facts.state is not None
    changed = [] if facts.flags_whole_load else _changed_files(facts)
    if changed and not facts.rewrites and not facts.catalogue:
        raise ConnectorError(
            f"{facts.table}: {', '.join(changed[:3])} changed after it was loaded, "
            f"and the {facts.ingest.into} only appends",
            fix="load into the lakehouse, or `headwater run --full` this table",
        )
    _raise_first([_check_emptied(facts, changed)])
    position = _kept(facts)
    ties: dict[str, Any] = {}
    if facts.ingest.key:
        change, position, rejects = _merge(facts, changed)
    else:
        rows, ties = _fresh_rows(facts)
        rejects = facts.rejects
        landed = Select(rows) if ties else Staged(rows, facts.parts)
        change = Change("append", landed, facts.columns)
        if changed and facts.catalogue:
            change = Change("replace", Select(_rewritten(facts, rows, changed)), facts.columns)
        elif changed:
            change = Change("overwrite_where", landed, facts.columns, where=_in_files(changed))
        if not changed and facts.count(SelectSql(f"SELECT 1 FROM ({rows}) LIMIT 1")) == 0:
            change = Change("record")
    rejects, fresh, _ = _settle_rejects(facts, rejects)
    doubles = facts.count(_DOUBLES) if facts.ingest.key else 0  # they are among the good rows as well
    _raise_first([_check_rejected(facts, facts.good - doubles, fresh)])
    if ties:
        position = {**position, "ties": ties}
    return LoadDecision(replace(change, rejects=rejects), position, fresh)


def _rewritten(facts: LoadFacts, rows: SelectSql, changed: list[str]) -> SelectSql:
    """Return the whole catalogue: as it is, but for the files that changed, and the new rows."""
    names = ", ".join(quote_identifier(column.name) for column in facts.columns)
    kept = f"SELECT * FROM ({facts.current}) WHERE NOT {_in_files(changed)}"
    return SelectSql(f"SELECT {names} FROM ({facts.no_rows} UNION ALL BY NAME {kept} UNION ALL BY NAME {rows})")


def _merge(facts: LoadFacts, changed: list[str]) -> tuple[Change, dict[str, Any], SelectSql]:
    """Return the merge of a load with a key: rows equal to the table's are left out, vanished keys are removed."""
    rows, rejects = _one_per_key(
        facts, current=facts.current, leaving=PredicateSql("TRUE") if facts.flags_whole_load else _in_files(changed)
    )
    keys = ", ".join(quote_identifier(name) for name in facts.ingest.key)
    deletes = [find_deleted(facts)]
    if facts.ingest.flags_deletes:
        deletes, rows = [], _flagged(facts, deletes[0], rows)
    if changed:
        deletes.append(
            SelectSql(
                f"SELECT {keys} FROM (SELECT * FROM ({facts.current}) WHERE {_in_files(changed)}) "
                f"ANTI JOIN temp._hw_merge USING ({keys})"
            )
        )
    wanted = [query for query in deletes if query]
    gone = NO_SELECT
    if wanted:
        facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_gone AS {' UNION '.join(wanted)}")
        gone = _GONE if facts.count(_GONE) else NO_SELECT
    some = facts.count(rows)
    if not some and not gone:
        return Change("record"), _kept(facts), rejects
    change = Change("merge", Select(rows), facts.columns, key=tuple(facts.ingest.key), deletes=gone)
    return change, _kept(facts), rejects


def _flagged(facts: LoadFacts, gone: SelectSql, rows: SelectSql) -> SelectSql:
    """Add to the rows those that change their flag, if any do."""
    flagged = flag_deleted(facts, gone, rows)
    if not flagged:
        return rows
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_flagged AS {flagged}")
    more = facts.count(_FLAGGED)
    return SelectSql(f"{rows} UNION ALL {_FLAGGED}") if more else rows


def _one_per_key(
    facts: LoadFacts, current: SelectSql | None, leaving: PredicateSql = NO_PREDICATE
) -> tuple[SelectSql, SelectSql]:
    preparation = facts.preparation
    merge = compile_merge(
        facts.rows,
        current,
        preparation.columns,
        facts.ingest.key,
        preparation.cursor,
        system_columns=preparation.system_columns,
        current_columns=[column.name for column in facts.state.columns] if current and facts.state else None,
        located=preparation.located,
        leaving=leaving,
    )
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_merge AS {merge.classified}")
    rejects = " UNION ALL ".join(query for query in (facts.rejects, merge.rejects("temp._hw_merge")) if query)
    return merge.rows("temp._hw_merge"), SelectSql(rejects)


def _fresh_rows(facts: LoadFacts) -> tuple[SelectSql, dict[str, Any]]:
    """Leave out rows at the last cursor value that were loaded before; return the rows and the next ties."""
    cursor = facts.preparation.cursor
    if not cursor:
        return facts.rows, {}
    assert facts.state is not None
    old = facts.state.position.get("ties", {})
    columns = facts.preparation.columns
    rows = compile_fresh(facts.rows, columns, cursor, old)
    facts.connection.execute(f"CREATE OR REPLACE TEMP TABLE _hw_fresh AS {rows}")
    rows = SelectSql("SELECT * FROM temp._hw_fresh")
    found = facts.connection.execute(compile_ties(rows, columns, cursor)).fetchall()
    return rows, merge_ties(old, found)


def _first_ties(facts: LoadFacts, rows: SelectSql) -> dict[str, Any]:
    cursor = facts.preparation.cursor
    if facts.ingest.key or not cursor or facts.ingest.load == LoadMode.FULL:
        return {}
    found = facts.connection.execute(compile_ties(rows, facts.preparation.columns, cursor)).fetchall()
    return merge_ties({}, found)


def _changed_files(facts: LoadFacts) -> list[str]:
    """Return the files of this load that an earlier load took in another state."""
    assert facts.state is not None
    known = facts.state.position.get("files", {})
    return [path for path in facts.position.get("files", {}) if path in known]


def _check_emptied(facts: LoadFacts, changed: list[str]) -> CheckFailedError | None:
    """Refuse changed files of which every row is a reject, and those that leave the table without a row."""
    if not changed or facts.catalogue:
        return None
    counted = f"SELECT _file, count(*) FROM ({{}}) WHERE {_in_files(changed)} GROUP BY _file"
    before, good, bad = (
        dict(facts.connection.execute(counted.format(rows)).fetchall())
        for rows in (facts.current, facts.rows or facts.no_rows, facts.rejects or facts.no_rows)
    )
    for path in changed:
        there = _rows_of(path, before)
        if there and _rows_of(path, bad) and not _rows_of(path, good):
            return check_emptied(facts.table, facts.ingest.allow_empty, path, current_rows=there)
    there = facts.count(facts.current)
    left = facts.good or there - sum(before.values())
    return check_empty(
        facts.table, facts.ingest.allow_empty, good=left, rejected=facts.rejected, current_rows=there, load="this"
    )


def _rows_of(path: str, counts: dict[str, int]) -> int:
    """Return the rows of a file, or of all members of an archive."""
    archive = f"{path}/" if path.endswith(".zip") else ""
    return sum(rows for file, rows in counts.items() if file == path or (archive and file.startswith(archive)))


def _in_files(files: list[str]) -> PredicateSql:
    """Return the predicate of rows that came from some files, or from the members of some archives."""
    if not files:
        return NO_PREDICATE
    members = "".join(f" OR starts_with(_file, {quote_text(path + '/')})" for path in files if path.endswith(".zip"))
    return PredicateSql(f"(_file IN ({', '.join(quote_text(path) for path in files)}){members})")


def _settle_rejects(facts: LoadFacts, rejects: SelectSql) -> tuple[SelectSql, int, int]:
    """Gather the rejects, once each: (SELECT of those the quarantine does not hold yet, how many, how many in all)."""
    if not rejects:
        return NO_SELECT, 0, 0
    facts.connection.execute(
        "CREATE OR REPLACE TEMP TABLE _hw_rejects AS "
        f"SELECT * FROM ({rejects}) QUALIFY row_number() OVER (PARTITION BY _reject_key) = 1"
    )
    total = facts.count(_REJECTS)
    known = facts.state.rejects if facts.state else NO_SELECT
    fresh = compile_new_rejects(_REJECTS, known)
    number = facts.count(fresh) if total else 0
    return (fresh if number else NO_SELECT), number, total


def _digest(facts: LoadFacts, rows: SelectSql) -> str:
    if facts.ingest.load != LoadMode.FULL:
        return ""
    row = facts.connection.execute(digest_query(rows, facts.preparation.columns)).fetchone()
    return str(row[0]) if row else ""


def _raise_first(errors: list[CheckFailedError | None]) -> None:
    for error in errors:
        if error is not None:
            raise error
