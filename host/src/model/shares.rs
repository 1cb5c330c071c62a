//! How much of one resource of the host a namespace may hold: slots, guest memory, or places in the pool of instances.
//!
//! Pure. The rule is that of dynamic thresholds (A. Choudhury and E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
//! IEEE/ACM Transactions on Networking 6(2), 1998): a namespace may take more while it holds less than a fixed multiple of what is free. The bound
//! falls as the resource fills up, so that any number of namespaces that never give anything back leave a part of it free. A reserve comes on top,
//! which only a namespace that holds nothing may use.
//!
//! Amounts are units of the resource. What is asked for is never more than `largest`.

/// Multiple of the free amount up to which a namespace may hold. With 8, one namespace alone gets eight ninths of what is not reserved, and ten that
/// never give anything back leave one part in 81 free.
const WEIGHT: u64 = 8;
/// Part of the resource that is reserved for namespaces that hold nothing: one in so many.
const RESERVE_PART: u64 = 32;
/// Part of the reserve that is little enough to be granted to the first attempt of a namespace in any case: one in so many.
const LITTLE_PART: u64 = 32;

/// The rule for one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    total: u64,
    reserve: u64,
}

/// A request for a part of the resource, beside what is held at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked for.
    pub amount: u64,
    /// What the same attempt holds already: more than 0 if it asks for a growth.
    pub own: u64,
    /// What its namespace holds, its own included.
    pub namespace: u64,
    /// What all namespaces hold.
    pub all: u64,
}

impl Shares {
    /// The rule for `total` units, of which one attempt holds at most `largest`.
    pub const fn new(total: u64, largest: u64) -> Self {
        // Two attempts of the largest size if that is at most a quarter, and one in any case if that is at most half.
        let two = min(largest.saturating_mul(2), total / 4);
        let one = min(largest, total / 2);
        Self { total, reserve: max(max(total / RESERVE_PART, two), one) }
    }

    /// All units.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Whether the request may be granted.
    ///
    /// - An attempt that nobody holds anything beside may have all that there is.
    /// - The first attempt of a namespace may use half of the reserve, and all of it for a little: so a few large attempts can't keep out the first
    ///   attempts of common size of the next 16 namespaces.
    /// - Every other request leaves the reserve alone, and is granted while the namespace is below its threshold.
    pub const fn admits(&self, ask: Ask) -> bool {
        let Ask { amount, own, namespace, all } = ask;
        let free = self.total.saturating_sub(all);
        if amount > free {
            return false;
        }
        if all <= own {
            return true;
        }
        if namespace <= own {
            let little = max(self.reserve / LITTLE_PART, 1);
            return amount.saturating_add(self.reserve / 2) <= free || own.saturating_add(amount) <= little;
        }
        let shared = free.saturating_sub(self.reserve);
        // By what is free for the last unit: else one large request could take all that a threshold leaves free.
        amount <= shared && namespace < (shared - amount + 1).saturating_mul(WEIGHT)
    }
}

const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

const fn max(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempts in flight: the namespace of each, and what it holds.
    struct Host {
        shares: Shares,
        held: Vec<(usize, u64)>,
    }

    impl Host {
        fn new(total: u64, largest: u64) -> Self {
            Self { shares: Shares::new(total, largest), held: Vec::new() }
        }

        fn of(&self, namespace: usize) -> u64 {
            self.held.iter().filter(|(of, _)| *of == namespace).map(|(_, amount)| amount).sum()
        }

        fn all(&self) -> u64 {
            self.held.iter().map(|(_, amount)| amount).sum()
        }

        fn start(&mut self, namespace: usize, amount: u64) -> bool {
            let admitted = self.shares.admits(Ask { amount, own: 0, namespace: self.of(namespace), all: self.all() });
            if admitted {
                self.held.push((namespace, amount));
            }
            admitted
        }

        fn grow(&mut self, attempt: usize, amount: u64) -> bool {
            let (namespace, own) = self.held[attempt];
            let admitted = self.shares.admits(Ask { amount, own, namespace: self.of(namespace), all: self.all() });
            if admitted {
                self.held[attempt].1 += amount;
            }
            admitted
        }
    }

    /// Sizes of the resources: slots, MiB of memory on a small and a large host, memories and tables of the pool.
    const RESOURCES: [(u64, u64); 8] = [(1, 1), (2, 1), (4, 1), (64, 1), (1_024, 1), (1_024, 128), (12_288, 128), (4_112, 64)];

    #[test]
    fn whatever_is_asked_for_the_sum_is_never_exceeded() {
        let mut chance = fastrand::Rng::with_seed(4);
        for (total, largest) in RESOURCES {
            let mut host = Host::new(total, largest);
            for _ in 0..5_000 {
                match (chance.u8(..4), host.held.len()) {
                    (0, 1..) => drop(host.held.swap_remove(chance.usize(..host.held.len()))),
                    (1, 1..) => {
                        let attempt = chance.usize(..host.held.len());
                        let room = largest - host.held[attempt].1;
                        let _ = room > 0 && host.grow(attempt, chance.u64(1..=room.max(1)));
                    }
                    _ => drop(host.start(chance.usize(..12), chance.u64(1..=largest))),
                }
                assert!(host.all() <= total, "{total} {largest}");
            }
        }
    }

    #[test]
    fn a_namespace_alone_gets_most_of_it() {
        for (total, largest) in RESOURCES {
            let mut host = Host::new(total, largest);
            while host.start(0, 1) {}
            assert!(host.all() >= total / 2 && host.all() > 0, "{} of {total}, in ones", host.all());
        }
        let mut slots = Host::new(1_024, 1);
        while slots.start(0, 1) {}
        assert_eq!(slots.all(), 882, "eight ninths of what is not reserved");
    }

    #[test]
    fn a_namespace_with_nothing_starts_beside_ten_that_give_nothing_back() {
        let mut chance = fastrand::Rng::with_seed(5);
        for (total, largest) in RESOURCES.into_iter().filter(|(total, largest)| total / largest >= 8 && *total >= 64) {
            for _ in 0..50 {
                let mut host = Host::new(total, largest);
                let mut refused = 0;
                // Whatever they ask for, in whatever order, until nothing is granted for a long time.
                while refused < 2_000 {
                    let amount = if chance.bool() { largest } else { chance.u64(1..=largest) };
                    let grown = !host.held.is_empty() && chance.bool() && {
                        let attempt = chance.usize(..host.held.len());
                        let room = largest - host.held[attempt].1;
                        room > 0 && host.grow(attempt, amount.min(room))
                    };
                    let granted = grown || host.start(chance.usize(..10), amount);
                    refused = if granted { 0 } else { refused + 1 };
                }
                // What a common guest needs: one in 64 of the largest that is allowed.
                let common = largest.div_ceil(64);
                assert!(host.start(10, common), "{total} {largest}: {} are free", total - host.all());
            }
        }
        let mut memory = Host::new(12_288, 128);
        for namespace in (0..10).cycle().take(10_000) {
            memory.start(namespace, 128);
        }
        assert!(memory.start(10, 128), "on a host with room for many, also the largest");
    }

    #[test]
    fn a_namespace_that_holds_something_gets_more_beside_ten_that_give_nothing_back() {
        for amount in [7, 64, 128] {
            let mut memory = Host::new(12_288, 128);
            // Until none of them gets any more.
            while (0..10).filter(|namespace| memory.start(*namespace, amount)).count() > 0 {}
            for _ in 0..5 {
                assert!(memory.start(10, 2), "beside attempts of {amount}: {} are free", 12_288 - memory.all());
            }
        }
    }

    #[test]
    fn nothing_that_waits_waits_for_ever_while_attempts_end() {
        let mut chance = fastrand::Rng::with_seed(6);
        for (total, largest) in RESOURCES {
            let mut host = Host::new(total, largest);
            let mut waiting: std::collections::VecDeque<(usize, u64)> =
                (0..500).map(|_| (chance.usize(..5), chance.u64(1..=largest))).collect();
            let mut turns = 0;
            while let Some((namespace, amount)) = waiting.pop_front() {
                if !host.start(namespace, amount) {
                    waiting.push_back((namespace, amount));
                    host.held.swap_remove(chance.usize(..host.held.len()));
                }
                turns += 1;
                assert!(turns < 100_000, "{total} {largest}");
            }
        }
    }

    #[test]
    fn an_attempt_alone_may_have_all_of_it() {
        let shares = Shares::new(128, 128);
        assert!(shares.admits(Ask { amount: 128, own: 0, namespace: 0, all: 0 }));
        assert!(shares.admits(Ask { amount: 64, own: 64, namespace: 64, all: 64 }));
        assert!(!shares.admits(Ask { amount: 65, own: 64, namespace: 64, all: 64 }));
        // The only one of its namespace may use half of the reserve of 256, also to grow, and all of it for 8.
        let shares = Shares::new(1_024, 128);
        assert!(shares.admits(Ask { amount: 64, own: 64, namespace: 64, all: 832 }));
        assert!(!shares.admits(Ask { amount: 65, own: 64, namespace: 64, all: 832 }));
        assert!(!shares.admits(Ask { amount: 64, own: 64, namespace: 65, all: 832 }));
        assert!(shares.admits(Ask { amount: 4, own: 4, namespace: 4, all: 1_020 }));
        assert!(!shares.admits(Ask { amount: 4, own: 5, namespace: 5, all: 1_020 }));
    }
}
