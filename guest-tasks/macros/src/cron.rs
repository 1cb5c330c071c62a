//! The attribute `cron`: one that the component declares.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{LitInt, LitStr, Result};

use crate::attributes::{set, within};
use crate::policies::missed;
use crate::task::{duration, instant, option};

/// The key of the cron that is written without one.
pub(crate) const ONLY_CRON: &str = "cron";

const KNOWN: &str =
    "key, expression, timezone, start, end, max_count, jitter, input, metadata, priority, missed, missed_window, missed_max";

/// One cron.
pub(crate) struct Cron {
    pub(crate) key: LitStr,
    expression: LitStr,
    pub(crate) timezone: Option<LitStr>,
    start: Option<LitStr>,
    end: Option<LitStr>,
    max_count: Option<LitInt>,
    jitter: Option<LitStr>,
    input: Option<LitStr>,
    metadata: Vec<(String, String)>,
    priority: Option<LitInt>,
    missed: Option<TokenStream>,
    missed_window: Option<LitStr>,
    missed_max: Option<LitInt>,
}

impl Cron {
    fn new(key: LitStr, expression: LitStr) -> Self {
        Self {
            key,
            expression,
            timezone: None,
            start: None,
            end: None,
            max_count: None,
            jitter: None,
            input: None,
            metadata: Vec::new(),
            priority: None,
            missed: None,
            missed_window: None,
            missed_max: None,
        }
    }

    /// Reads `cron = "…"` or `cron(key = "…", expression = "…", …)`.
    pub(crate) fn parse(meta: &ParseNestedMeta<'_>) -> Result<Self> {
        if meta.input.peek(syn::Token![=]) {
            let expression: LitStr = meta.value()?.parse()?;
            return Ok(Self::new(LitStr::new(ONLY_CRON, expression.span()), expression));
        }
        let (mut key, mut expression, mut metadata): (Option<LitStr>, Option<LitStr>, Option<LitStr>) = (None, None, None);
        let mut said = Self::new(LitStr::new("", proc_macro2::Span::call_site()), LitStr::new("", proc_macro2::Span::call_site()));
        meta.parse_nested_meta(|meta| {
            let text = || -> Result<LitStr> { meta.value()?.parse() };
            match meta.path.get_ident().map(ToString::to_string).as_deref() {
                Some("key") => set(&mut key, text()?, &meta),
                Some("expression") => set(&mut expression, text()?, &meta),
                Some("timezone") => set(&mut said.timezone, text()?, &meta),
                Some("start") => set(&mut said.start, text()?, &meta),
                Some("end") => set(&mut said.end, text()?, &meta),
                Some("max_count") => set(&mut said.max_count, within(&meta, 1, u32::MAX)?, &meta),
                Some("jitter") => set(&mut said.jitter, text()?, &meta),
                Some("input") => set(&mut said.input, text()?, &meta),
                Some("metadata") => set(&mut metadata, text()?, &meta),
                Some("priority") => set(&mut said.priority, within(&meta, 1, 3)?, &meta),
                Some("missed") => set(&mut said.missed, missed(&text()?)?, &meta),
                Some("missed_window") => set(&mut said.missed_window, text()?, &meta),
                Some("missed_max") => set(&mut said.missed_max, within(&meta, 1, 10_000)?, &meta),
                _ => Err(meta.error(format!("unknown attribute of a cron; known are: {KNOWN}"))),
            }
        })?;
        if said.missed.is_none()
            && let Some(alone) = said.missed_window.as_ref().map(LitStr::span).or(said.missed_max.as_ref().map(LitInt::span))
        {
            return Err(syn::Error::new(alone, "says which missed occurrences run: give it with `missed = \"all\"`"));
        }
        let metadata = metadata.map(|text| entries(&text)).transpose()?.unwrap_or_default();
        match (key, expression) {
            (Some(key), Some(expression)) => Ok(Self { key, expression, metadata, ..said }),
            _ => Err(meta.error("a cron needs `key` and `expression`, for example cron(key = \"mornings\", expression = \"0 9 * * 1-5\")")),
        }
    }

    /// The SDK's value for it.
    pub(crate) fn value(&self) -> TokenStream {
        let text = |text: &Option<LitStr>| option(text.as_ref().map(|text| quote!(#text)));
        let number = |number: &Option<LitInt>| option(number.as_ref().map(|number| quote!(#number)));
        let (key, expression) = (&self.key, &self.expression);
        let (timezone, input) = (text(&self.timezone), text(&self.input));
        let (start, end) = (option(self.start.as_ref().map(instant)), option(self.end.as_ref().map(instant)));
        let (max_count, priority, max) = (number(&self.max_count), number(&self.priority), number(&self.missed_max));
        let (jitter, window) = (option(self.jitter.as_ref().map(duration)), option(self.missed_window.as_ref().map(duration)));
        let missed = option(self.missed.as_ref().map(|catch_up| quote!((#catch_up, #window, #max))));
        let metadata = self.metadata.iter().map(|(key, value)| quote!((#key, #value)));
        quote! {
            ::runlater_task::CodeCron {
                key: #key,
                expression: #expression,
                timezone: #timezone,
                start: #start,
                end: #end,
                max_count: #max_count,
                jitter: #jitter,
                input: #input,
                metadata: &[#(#metadata),*],
                priority: #priority,
                missed: #missed,
            }
        }
    }
}

/// `key=value` pairs, between commas. The key of an entry in text contains no `:` and no `"`: elsewhere it would be written in quotes, which
/// this list does not have.
fn entries(text: &LitStr) -> Result<Vec<(String, String)>> {
    let entry = |pair: &str| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    let wrong = |what| syn::Error::new(text.span(), what);
    let mut entries = Vec::new();
    for pair in text.value().split(',') {
        let (key, value) = entry(pair).ok_or_else(|| wrong("expected entries such as \"team=billing, tier=gold\""))?;
        if key.contains([':', '"']) {
            return Err(wrong("a key with `:` or `\"` can't be written here; create the cron at run time"));
        }
        entries.push((key, value));
    }
    Ok(entries)
}
