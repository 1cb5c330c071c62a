//! `forecast`.

use super::Server;

#[test]
fn a_forecast_is_drawn_and_written_as_json() {
    let server = Server::with(&["hello"]);
    server.run(&["schedule", "hello", "--after", "30m"]).ok();
    server.run(&["schedule", "hello", "--after", "3d"]).ok();
    let bars = server.run(&["forecast", "--for", "3h"]).ok();
    assert!(bars.contains('█') && bars.contains("0 occurrences of crons, 1 scheduled runs, until "), "{bars}");
    let map = server.run(&["forecast", "--task", "hello"]).ok();
    assert!(map.contains("00          06") && map.contains("2 scheduled runs") && map.contains("· none"), "{map}");
    let hours = server.json(&["forecast"])["hours"].as_array().expect("a list").len();
    assert_eq!(hours, 2);
    server.run(&["forecast", "--for", "400d"]).fails(3, &["for", "1m to 366d"]);
}
