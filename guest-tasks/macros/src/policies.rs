//! The attributes of `#[task(…)]` that say how runs share slots, and what becomes of those that were missed, failed or have ended.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{LitInt, LitStr, Result};

use crate::attributes::{check_name, set, within};
use crate::task::{duration, option};

/// Their names.
pub(crate) const KNOWN: [&str; 13] = [
    "concurrency",
    "concurrency_per_task",
    "overlap",
    "lane",
    "rate",
    "missed",
    "missed_window",
    "missed_max",
    "start_deadline",
    "cancel_grace",
    "on_failure",
    "keep_for",
    "keep_last",
];

/// What they say: words as the values that they mean, the rest as it stands.
#[derive(Default)]
pub(crate) struct Policies {
    concurrency: Option<LitInt>,
    concurrency_per_task: Option<LitInt>,
    overlap: Option<TokenStream>,
    lane: Option<TokenStream>,
    rate: Option<TokenStream>,
    missed: Option<TokenStream>,
    missed_window: Option<LitStr>,
    missed_max: Option<LitInt>,
    start_deadline: Option<LitStr>,
    cancel_grace: Option<LitStr>,
    on_failure: Option<LitStr>,
    keep_for: Option<LitStr>,
    keep_last: Option<LitInt>,
}

impl Policies {
    /// Reads one of [`KNOWN`].
    pub(crate) fn attribute(&mut self, name: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let text = || -> Result<LitStr> { meta.value()?.parse() };
        match name {
            "concurrency" => set(&mut self.concurrency, within(meta, 1, 100_000)?, meta),
            "concurrency_per_task" => set(&mut self.concurrency_per_task, within(meta, 1, 100_000)?, meta),
            "overlap" => set(&mut self.overlap, overlap(&text()?)?, meta),
            "lane" => set(&mut self.lane, lane(&text()?)?, meta),
            "rate" => set(&mut self.rate, rate(&text()?)?, meta),
            "missed" => set(&mut self.missed, missed(&text()?)?, meta),
            "missed_window" => set(&mut self.missed_window, text()?, meta),
            "missed_max" => set(&mut self.missed_max, within(meta, 1, 10_000)?, meta),
            "start_deadline" => set(&mut self.start_deadline, text()?, meta),
            "cancel_grace" => set(&mut self.cancel_grace, text()?, meta),
            "on_failure" => {
                let task = text()?;
                check_name(&task.value()).map_err(|reason| {
                    let reason = reason.split("; give it another").next().unwrap_or(&reason).to_owned();
                    syn::Error::new(task.span(), reason)
                })?;
                set(&mut self.on_failure, task, meta)
            }
            "keep_for" => set(&mut self.keep_for, text()?, meta),
            _ => set(&mut self.keep_last, within(meta, 0, 1_000_000_000)?, meta),
        }
    }

    /// Refuses what says nothing without something else.
    pub(crate) fn check(&self) -> Result<()> {
        let alone = |span: Span, what: &str| Err(syn::Error::new(span, format!("says {what}: give it with `missed = \"all\"`")));
        match (&self.missed, &self.missed_window, &self.missed_max) {
            (None, Some(window), _) => alone(window.span(), "how far back missed runs run"),
            (None, None, Some(max)) => alone(max.span(), "how many missed runs run"),
            _ => Ok(()),
        }
    }

    /// The fields of the definition that they fill.
    pub(crate) fn fields(&self) -> TokenStream {
        let number = |number: &Option<LitInt>| option(number.as_ref().map(|number| quote!(#number)));
        let span = |text: &Option<LitStr>| option(text.as_ref().map(duration));
        let (concurrency, concurrency_per_task) = (number(&self.concurrency), number(&self.concurrency_per_task));
        let (overlap, lane, rate) = (option(self.overlap.clone()), option(self.lane.clone()), option(self.rate.clone()));
        let (window, max) = (span(&self.missed_window), number(&self.missed_max));
        let missed = option(self.missed.as_ref().map(|catch_up| quote!((#catch_up, #window, #max))));
        let (start_deadline, cancel_grace) = (span(&self.start_deadline), span(&self.cancel_grace));
        let on_failure = option(self.on_failure.as_ref().map(|task| quote!(#task)));
        let kept = self.keep_for.is_some() || self.keep_last.is_some();
        let (keep_for, keep_last) = (span(&self.keep_for), number(&self.keep_last));
        let retention = option(kept.then(|| quote!((#keep_for, #keep_last))));
        quote! {
            concurrency: #concurrency,
            concurrency_per_task: #concurrency_per_task,
            overlap: #overlap,
            lane: #lane,
            rate: #rate,
            missed: #missed,
            start_deadline: #start_deadline,
            cancel_grace: #cancel_grace,
            on_failure: #on_failure,
            retention: #retention,
        }
    }
}

fn wrong<T>(text: &LitStr, reason: &str) -> Result<T> {
    Err(syn::Error::new(text.span(), reason.replace("{}", &format!("`{}`", text.value()))))
}

fn overlap(text: &LitStr) -> Result<TokenStream> {
    Ok(match text.value().as_str() {
        "queue" => quote!(::runlater_task::Overlap::Queue),
        "skip-new" => quote!(::runlater_task::Overlap::SkipNew),
        "cancel-running" => quote!(::runlater_task::Overlap::CancelRunning),
        "buffer-one" => quote!(::runlater_task::Overlap::BufferOne),
        _ => return wrong(text, "unknown overlap {}; write \"queue\", \"skip-new\", \"cancel-running\" or \"buffer-one\""),
    })
}

fn lane(text: &LitStr) -> Result<TokenStream> {
    let value = text.value();
    let part = |rest: &str| LitStr::new(rest, text.span());
    match value.split_once('.') {
        None if value == "constant" => Ok(quote!(::runlater_task::Lane::Constant)),
        Some(("input", path)) if path.split('.').all(|name| !name.is_empty()) => {
            let path = part(path);
            Ok(quote!(::runlater_task::Lane::Input(#path)))
        }
        Some(("metadata", key)) if !key.is_empty() => {
            let key = part(key);
            Ok(quote!(::runlater_task::Lane::Metadata(#key)))
        }
        _ => wrong(text, "unknown lane {}; write \"constant\", \"input.\" and a path, or \"metadata.\" and a key"),
    }
}

fn rate(text: &LitStr) -> Result<TokenStream> {
    let value = text.value();
    let parsed = value.split_once('/').and_then(|(count, unit)| {
        let count = count.parse::<u32>().ok().filter(|count| (1..=1_000_000).contains(count))?;
        let per = match unit {
            "s" => quote!(Second),
            "m" => quote!(Minute),
            "h" => quote!(Hour),
            _ => return None,
        };
        Some(quote!(::runlater_task::Rate { count: #count, per: ::runlater_task::RateUnit::#per }))
    });
    match parsed {
        Some(rate) => Ok(rate),
        None => wrong(text, "{} is no rate; write 1 to 1000000 starts in a unit, for example \"10/s\", \"600/m\" or \"5/h\""),
    }
}

pub(crate) fn missed(text: &LitStr) -> Result<TokenStream> {
    Ok(match text.value().as_str() {
        "skip" => quote!(::runlater_task::CatchUp::Skip),
        "latest" => quote!(::runlater_task::CatchUp::Latest),
        "all" => quote!(::runlater_task::CatchUp::All),
        _ => return wrong(text, "unknown `missed` policy {}; write \"skip\", \"latest\" or \"all\""),
    })
}
