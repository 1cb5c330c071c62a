//! Bodies and query strings of arbitrary bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::filter::ListQuery;
use super::json::parse;
use super::shapes;

/// Reads a JSON body as each request that has one.
pub(crate) fn fuzz_body(bytes: &[u8]) {
    fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
        let Ok(request) = parse::<T>(bytes) else { return };
        let written = serde_json::to_vec(&request).expect("a request can be written");
        let again = parse::<T>(&written).unwrap_or_else(|problem| panic!("{problem:?} of {}", String::from_utf8_lossy(&written)));
        assert_eq!(serde_json::to_vec(&again).expect("a request can be written"), written);
    }
    read::<shapes::ScheduleRun>(bytes);
    read::<shapes::Reschedule>(bytes);
    read::<shapes::BulkChange>(bytes);
    read::<shapes::BulkReschedule>(bytes);
    read::<shapes::CreateCron>(bytes);
    read::<shapes::UpdateCron>(bytes);
    read::<shapes::BackfillCron>(bytes);
    read::<shapes::CreateToken>(bytes);
    read::<shapes::Pause>(bytes);
}

/// Reads a query string of a list.
pub(crate) fn fuzz_list_query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Ok(query) = ListQuery::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()) else { return };
    let Ok(filter) = query.filter.parse() else { return };
    let written = query.filter.to_query().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let again = ListQuery::from_pairs(written).expect("what is written is read");
    assert_eq!(again.filter.parse().expect("what was accepted is accepted again"), filter);
}
