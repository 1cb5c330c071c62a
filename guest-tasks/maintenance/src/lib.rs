//! Maintenance whose time is written in its code: the host plans it at registration, and nobody else moves it.

use runlater_task::prelude::*;

/// How much there is to do.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Maintenance {
    /// How many units are cleaned.
    units: u64,
}

impl Default for Maintenance {
    fn default() -> Self {
        Maintenance { units: 10 }
    }
}

#[derive(Debug, PartialEq, Serialize)]
struct Report {
    cleaned: u64,
}

/// Cleans unit after unit, and stops when it is asked to.
#[task(timeout = "10m", max_attempts = 3, schedule(key = "new-decade", at = "2030-01-01T03:00:00Z", input = "{\"units\":100}"))]
fn maintenance(input: Maintenance, run: &Run) -> Result<Report, Failure> {
    log::info(format!("cleaning {} units", input.units));
    for unit in 1..=input.units {
        if run.is_cancelled() {
            log::warn(format!("asked to stop before unit {unit}"));
            return Err(Failure::reject("cancelled"));
        }
        run.progress(unit, input.units, &format!("unit {unit} is clean"));
    }
    Ok(Report { cleaned: input.units })
}

export_tasks!(maintenance);

#[cfg(test)]
mod tests {
    use runlater_task::Task as _;
    use runlater_task::testing::FakeHost;

    use super::*;

    #[test]
    fn says_how_far_it_has_come() {
        let host = FakeHost::new();
        assert_eq!(maintenance(Maintenance { units: 2 }, &host.run()), Ok(Report { cleaned: 2 }));
        assert_eq!(host.progress().last(), Some(&(2, 2, "unit 2 is clean".to_owned())));
    }

    #[test]
    fn stops_when_asked() {
        let host = FakeHost::new();
        host.request_cancel();
        assert!(maintenance(Maintenance::default(), &host.run()).is_err());
        assert_eq!(host.progress(), []);
    }

    #[test]
    fn is_scheduled_by_its_code() {
        let schedule = maintenance::definition().schedules[0];
        assert_eq!((schedule.key, schedule.at.to_string().as_str()), ("new-decade", "2030-01-01T03:00:00Z"));
    }
}
