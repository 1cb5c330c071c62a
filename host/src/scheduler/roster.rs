//! Which worker threads are idle, and which of them leads.
//!
//! The leader is the one thread that waits for the next due time; the others wait to be rung, so that a due run wakes one
//! thread and not all of them. Pure data, kept by [`Crew`](super::crew::Crew): nothing here waits or wakes.

/// The idle threads, by number. Whenever there are any, one of them leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Roster {
    leader: Option<usize>,
    followers: Vec<usize>,
}

impl Roster {
    /// Adds a thread that has become idle. It leads if nobody else does.
    pub(super) fn enter(&mut self, thread: usize) {
        match self.leader {
            None => self.leader = Some(thread),
            Some(_) => self.followers.push(thread),
        }
    }

    /// Removes a thread that has work, and says who leads in its place and must be told so.
    #[must_use = "a follower that is not told goes on waiting without a time"]
    pub(super) fn leave(&mut self, thread: usize) -> Option<usize> {
        if self.leader == Some(thread) {
            // The last to become idle: its stack and caches are the warmest.
            self.leader = self.followers.pop();
            return self.leader;
        }
        self.followers.retain(|follower| *follower != thread);
        None
    }

    /// Who leads.
    pub(super) fn leader(&self) -> Option<usize> {
        self.leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies `+1` (enter) and `-1` (leave), and shows who leads after each step; `!` after it: is told so.
    fn leaders(steps: &str) -> String {
        let mut roster = Roster::default();
        let mut seen = Vec::new();
        for step in steps.split(' ') {
            let (verb, thread) = step.split_at(1);
            let thread = thread.parse().unwrap();
            let told = match verb {
                "+" => {
                    roster.enter(thread);
                    None
                }
                _ => roster.leave(thread),
            };
            let leader = roster.leader().map_or("-".into(), |leader| leader.to_string());
            seen.push(if told.is_some() { format!("{leader}!") } else { leader });
        }
        seen.join(" ")
    }

    #[test]
    fn somebody_leads_whenever_somebody_is_idle() {
        for (steps, expected) in [
            ("+1 -1", "1 -"),
            ("+1 +2 +3", "1 1 1"),
            ("+1 +2 -1 -2", "1 1 2! -"),
            ("+1 +2 +3 -1 +1 -3 -2", "1 1 1 3! 3 1! 1"),
            ("+1 +2 -2 +2 -1", "1 1 1 1 2!"),
            ("+1 +2 -1 +1 -2 +2 -1", "1 1 2! 2 1! 1 2!"),
        ] {
            assert_eq!(leaders(steps), expected, "{steps}");
        }
    }
}
