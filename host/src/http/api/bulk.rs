//! Changing many runs: `POST /v1/runs/bulk-delete`, `…/bulk-cancel`, `…/bulk-trigger`, `…/bulk-reschedule`.

use axum::Json as Answer;

use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::Filter;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::{BulkFilter, Invalid, RunId, Selection, parse_duration, parse_duration_floor};
use crate::storage::Move;

pub(super) async fn delete(caller: Caller, Json(request): Json<shapes::BulkChange>) -> Result<Answer<shapes::Bulk>, Problem> {
    let selection = selection(request.ids, request.filter, request.all)?;
    Ok(Answer(caller.scheduler.bulk_delete(selection, request.dry_run).await?.into()))
}

pub(super) async fn cancel(caller: Caller, Json(request): Json<shapes::BulkChange>) -> Result<Answer<shapes::Bulk>, Problem> {
    let selection = selection(request.ids, request.filter, request.all)?;
    Ok(Answer(caller.scheduler.bulk_cancel(selection, request.dry_run).await?.into()))
}

pub(super) async fn trigger(caller: Caller, Json(request): Json<shapes::BulkChange>) -> Result<Answer<shapes::Bulk>, Problem> {
    let selection = selection(request.ids, request.filter, request.all)?;
    Ok(Answer(caller.scheduler.bulk_trigger(selection, request.dry_run).await?.into()))
}

pub(super) async fn reschedule(caller: Caller, Json(request): Json<shapes::BulkReschedule>) -> Result<Answer<shapes::Bulk>, Problem> {
    let refused = |field: &str, reason: &str| Err(Problem::from(Invalid::new("invalid-bulk", field, reason)));
    if let Some(moves) = request.moves {
        if request.ids.is_some() || request.filter.is_some() || request.all || request.to.is_some() || request.by.is_some() {
            return refused("moves", "has its own ids and times: give it without `ids`, `filter`, `all`, `to` and `by`");
        }
        if request.dry_run {
            return refused("dry_run", "goes with `ids`, `filter` or `all`, not with `moves`");
        }
        let mut parsed = Vec::with_capacity(moves.len());
        for (place, one) in moves.iter().enumerate() {
            let within = |invalid: Invalid| invalid.within(&format!("moves[{place}]"));
            let due = shapes::due_required(one.at.as_deref(), one.after.as_deref()).map_err(within)?;
            parsed.push((RunId::parse(&one.id, "id").map_err(within)?, due));
        }
        return Ok(Answer(caller.scheduler.bulk_reschedule(parsed).await?.into()));
    }
    let to = match (&request.to, &request.by) {
        (Some(_), Some(_)) => return refused("by", "give either `to` or `by`, not both"),
        (None, None) => return refused("to", "say where to: `to` a time, or `by` a span such as +1h or -30m"),
        (Some(to), None) => {
            let due = shapes::due_required(to.at.as_deref(), to.after.as_deref()).map_err(|invalid| invalid.within("to"))?;
            Move::To(due.trigger_at(caller.scheduler.now()))
        }
        (None, Some(by)) => Move::By(signed_span(by)?),
    };
    let selection = selection(request.ids, request.filter, request.all)?;
    Ok(Answer(caller.scheduler.bulk_move(selection, to, request.dry_run).await?.into()))
}

/// Checks which runs are meant. Exactly one of the three says so; an empty filter does not mean all.
fn selection(ids: Option<Vec<String>>, filter: Option<Filter>, all: bool) -> Result<Selection, Invalid> {
    match (ids, filter, all) {
        (Some(ids), None, false) => {
            let parsed = ids.iter().enumerate().map(|(place, id)| RunId::parse(id, &format!("ids[{place}]")));
            Selection::ids(parsed.collect::<Result<Vec<_>, _>>()?)
        }
        (None, Some(filter), false) if filter.is_empty() => Err(Invalid::new(
            BulkFilter::EMPTY,
            "filter",
            "has no condition, and would match every run; add one, or send \"all\": true instead to mean every run",
        )),
        (None, Some(filter), false) => filter.parse().and_then(|filter| filter.select()).map_err(|invalid| invalid.within("filter")),
        (None, None, true) => Ok(Selection::all()),
        (_, _, true) => Err(Invalid::new("invalid-bulk", "all", "means every run: give it without `ids` and `filter`")),
        (Some(_), Some(_), false) => Err(Invalid::new("invalid-bulk", "filter", "give either `ids` or `filter`, not both")),
        (None, None, false) => Err(Invalid::new("invalid-bulk", "filter", "say which runs: `ids`, a `filter`, or \"all\": true")),
    }
}

/// Parses `+1h` or `-30m` as microseconds.
fn signed_span(text: &str) -> Result<i64, Invalid> {
    let (sign, span) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(later), _) => (1, later),
        (_, Some(earlier)) => (-1, earlier),
        _ => {
            return Err(Invalid::new(
                "invalid-duration",
                "by",
                "begins with + for later or - for earlier, for example +1h; from 0s to 36600d",
            )
            .seen(text));
        }
    };
    // Rounded towards later, as every time is.
    let span = if sign > 0 { parse_duration(span, "by") } else { parse_duration_floor(span, "by") };
    let micros = span?.as_micros();
    Ok(sign * i64::try_from(micros).expect("a duration has at most 100 years"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_sign() {
        assert_eq!(signed_span("+1h").unwrap(), 3_600_000_000);
        assert_eq!(signed_span("-30m").unwrap(), -1_800_000_000);
        assert_eq!((signed_span("+1.5us").unwrap(), signed_span("-1.5us").unwrap()), (2, -1), "never earlier than asked");
        for bad in ["", "1h", "+", "+-1h", "--1h", "+1"] {
            assert_eq!(signed_span(bad).unwrap_err().code, "invalid-duration", "{bad}");
        }
    }

    #[test]
    fn all_must_be_said() {
        let code = |ids: Option<Vec<String>>, filter, all| selection(ids, filter, all).map_err(|invalid| (invalid.code, invalid.field));
        let refused = |code, field: &str| Err((code, field.to_string()));
        assert_eq!(code(None, None, false), refused("invalid-bulk", "filter"));
        assert_eq!(code(None, Some(Filter::default()), false), refused("empty-filter", "filter"));
        assert_eq!(code(Some(Vec::new()), None, false), refused("invalid-bulk", "ids"));
        assert_eq!(code(Some(vec!["x".into()]), None, false), refused("invalid-id", "ids[0]"));
        let failed = Filter { status: vec!["failed".into()], ..Filter::default() };
        for (ids, filter) in [(Some(Vec::new()), None), (None, Some(failed.clone())), (None, Some(Filter::default()))] {
            assert_eq!(code(ids, filter, true), refused("invalid-bulk", "all"));
        }
        assert_eq!(code(None, None, true), Ok(Selection::all()));
        assert!(matches!(code(None, Some(failed), false), Ok(Selection::Matching(_))));
    }
}
