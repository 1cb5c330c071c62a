//! Components that something happened to on their way: refused with a code and a place, or sound all the same.

use std::ops::Range;

use wasmparser::{Parser, Payload};

use super::registration::inspect;
use super::*;

/// The refusal of a damaged component, which may well be a sound one: `None`. Neither may take long, or panic.
async fn refusal(host: &Host, damaged: Vec<u8>, how: &str) -> Option<String> {
    let seen = tokio::time::timeout(Duration::from_secs(30), inspect(host, damaged, &[])).await;
    let refusal = seen.unwrap_or_else(|_| panic!("{how}: no answer")).err()?;
    check(&refusal, how);
    Some(refusal)
}

/// A refusal says where, or what it is about, and nothing of the host.
fn check(refusal: &str, how: &str) {
    let (code, reason) = refusal.split_once(' ').unwrap();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let said = match code {
        "invalid-component" => says(&["at byte ", "not a WebAssembly file", "a core module", "resource"]),
        "unsupported-feature" | "compile-limit" => says(&["at byte ", "by byte ", "resource.new"]),
        "missing-export" => says(&["does not export runlater:scheduler/task@0.1.0", "don't fit the contract"]),
        "import-not-granted" | "unsupported-version" => says(&["imports "]),
        "describe-failed" => says(&["its `describe` failed"]),
        // What it says of its tasks.
        _ => reason.starts_with("tasks"),
    };
    assert!(said && !says(&["panic", ".rs:", "/"][..2]), "{how}: {refusal}");
}

#[tokio::test]
async fn cut_anywhere() {
    let host = Host::new();
    let sound = SOUND.build();
    for length in (0..sound.len()).step_by(37) {
        assert!(refusal(&host, sound[..length].to_vec(), &format!("cut at {length}")).await.is_some_and(|it| !it.contains("describe")));
    }
    // As long as what compilers make.
    let data = format!("(data (i32.const 65536) \"{}\")", "x".repeat(200 << 10));
    let long = Guest { more: &data, ..SOUND }.build();
    for length in (1 << 10..long.len()).step_by(1 << 10) {
        let said = refusal(&host, long[..length].to_vec(), &format!("cut at {length}")).await;
        assert!(said.is_some_and(|it| it.contains("at byte ")), "cut at {length}");
    }
}

#[tokio::test]
async fn single_bits_flipped() {
    const FLIPS: usize = 10_000;
    let host = Host::new();
    let sound = SOUND.build();
    let mut refused = 0;
    for flip in 0..FLIPS {
        let bit = flip * sound.len() * 8 / FLIPS;
        let mut damaged = sound.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let how = format!("bit {} of byte {}", bit % 8, bit / 8);
        match precheck::precheck(&damaged, &crate::model::limits::Limits::default()) {
            Err(invalid) => {
                refused += 1;
                check(&format!("{} {invalid}", invalid.code), &how);
            }
            // What may be compiled is, of some: a flip in a name or in data is another component, and a sound one.
            Ok(_) if flip % 8 == 0 => drop(refusal(&host, damaged, &how).await),
            Ok(_) => {}
        }
    }
    assert!(refused > FLIPS / 3, "{refused} of {FLIPS}");
}

/// Where the sections of the outermost component lie, each with its head.
fn sections(wasm: &[u8]) -> Vec<Range<usize>> {
    let (mut ends, mut depth, mut at) = (Vec::new(), 0, 8);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.unwrap();
        match &payload {
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                if depth == 0 {
                    ends.push(unchecked_range.end);
                }
                depth += 1;
            }
            other if depth == 0 => ends.extend(other.as_section().map(|(_, range)| range.end)),
            _ => {}
        }
    }
    ends.into_iter().map(|end| std::mem::replace(&mut at, end)..end).collect()
}

#[tokio::test]
async fn sections_in_another_order() {
    let host = Host::new();
    let sound = SOUND.build();
    let sections = sections(&sound);
    let build = |order: &[usize]| {
        order.iter().fold(sound[..8].to_vec(), |mut all, section| {
            all.extend(&sound[sections[*section].clone()]);
            all
        })
    };
    let straight: Vec<_> = (0..sections.len()).collect();
    assert!(sections.len() > 10 && build(&straight) == sound[..], "{sections:?}");
    let mut refused = 0;
    for section in straight.clone() {
        // Swapped with the next one, first of all, last of all, not there, there twice.
        let mut orders = vec![straight.clone(); 5];
        orders[0].swap(section, (section + 1) % sections.len());
        orders[1][..=section].rotate_right(1);
        orders[2][section..].rotate_left(1);
        orders[3].remove(section);
        orders[4].insert(section, section);
        for order in orders {
            refused += usize::from(refusal(&host, build(&order), &format!("{order:?}")).await.is_some());
        }
    }
    // Neighbours that don't know of each other may change places.
    assert!(refused > 2 * sections.len(), "{refused} of {}", 5 * sections.len());
}
