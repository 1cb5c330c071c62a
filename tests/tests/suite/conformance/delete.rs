//! `delete`: scheduled runs only; what is deleted never starts and leaves nothing.

use super::place;
use crate::conformance::world::check;

#[test]
fn only_what_is_scheduled_can_be_deleted() {
    check(
        place(),
        "
        0s  create a at=5s meta=k:v key=x  => scheduled due 5s
        0s  create b at=6s                 => scheduled due 6s
        0s  create c at=900s               => scheduled due 15m
        1s  delete a c                     => none, none
        1s  delete a                       => not found
        6s  delete b                       => already triggered
        6s  claim                          => b 1
        6s  delete b                       => already triggered
        6s  done b                         => succeeded
        6s  delete b                       => already triggered
        999s claim                         => nothing
        ",
    );
}

#[test]
fn one_of_several_that_can_not_be_deleted_keeps_no_other() {
    check(
        place(),
        "
        0s  create a at=5s  => scheduled due 5s
        0s  create b at=1s  => scheduled due 1s
        2s  delete b a a    => already triggered, none, not found
        2s  claim           => b 1
        ",
    );
}
