//! The serde attributes that decide how a type looks in JSON.
//!
//! Attributes that don't are skipped. Those that do, and that the schema can't follow, are refused, because a schema
//! that is wrong rejects inputs that are right.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr, Result};

/// What serde attributes say of a type, variant or field.
#[derive(Default)]
pub(crate) struct SerdeAttributes {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) rename_all_fields: Option<Case>,
    pub(crate) default: bool,
    pub(crate) skip: bool,
    pub(crate) untagged: bool,
    pub(crate) transparent: bool,
    pub(crate) deny_unknown_fields: bool,
    pub(crate) tag: Option<String>,
    pub(crate) content: Option<String>,
}

pub(crate) fn parse(attributes: &[Attribute]) -> Result<SerdeAttributes> {
    let mut parsed = SerdeAttributes::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| one(&mut parsed, &meta))?;
    }
    Ok(parsed)
}

fn one(parsed: &mut SerdeAttributes, meta: &ParseNestedMeta<'_>) -> Result<()> {
    let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
    match name.as_str() {
        "rename" => parsed.rename = deserialized_name(meta)?,
        "rename_all" => parsed.rename_all = deserialized_name(meta)?.map(|rule| Case::of(&rule, meta)).transpose()?,
        "rename_all_fields" => parsed.rename_all_fields = deserialized_name(meta)?.map(|rule| Case::of(&rule, meta)).transpose()?,
        "default" => {
            parsed.default = true;
            skip_value(meta)?;
        }
        "skip" | "skip_deserializing" => parsed.skip = true,
        "untagged" => parsed.untagged = true,
        "transparent" => parsed.transparent = true,
        "deny_unknown_fields" => parsed.deny_unknown_fields = true,
        "tag" => parsed.tag = Some(string(meta)?),
        "content" => parsed.content = Some(string(meta)?),
        "flatten" | "with" | "deserialize_with" | "from" | "try_from" | "remote" => {
            return Err(meta.error(format!("JsonSchema can't follow serde's `{name}`: implement it by hand for this type")));
        }
        _ => skip_value(meta)?,
    }
    Ok(())
}

fn string(meta: &ParseNestedMeta<'_>) -> Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn skip_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| skip_value(&inner))?;
    }
    Ok(())
}

/// `rename = "x"`, or the `deserialize` of `rename(serialize = "x", deserialize = "y")`.
fn deserialized_name(meta: &ParseNestedMeta<'_>) -> Result<Option<String>> {
    if meta.input.peek(syn::Token![=]) {
        return string(meta).map(Some);
    }
    let mut name = None;
    meta.parse_nested_meta(|inner| {
        let value = string(&inner)?;
        if inner.path.is_ident("deserialize") {
            name = Some(value);
        }
        Ok(())
    })?;
    Ok(name)
}

/// How names are spelled.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    separator: &'static str,
    words: Words,
    first: Words,
}

#[derive(Clone, Copy)]
enum Words {
    Lower,
    Upper,
    Capital,
}

impl Case {
    fn of(rule: &str, meta: &ParseNestedMeta<'_>) -> Result<Case> {
        use Words::{Capital, Lower, Upper};
        let (separator, first, words) = match rule {
            "lowercase" => ("", Lower, Lower),
            "UPPERCASE" => ("", Upper, Upper),
            "PascalCase" => ("", Capital, Capital),
            "camelCase" => ("", Lower, Capital),
            "snake_case" => ("_", Lower, Lower),
            "SCREAMING_SNAKE_CASE" => ("_", Upper, Upper),
            "kebab-case" => ("-", Lower, Lower),
            "SCREAMING-KEBAB-CASE" => ("-", Upper, Upper),
            _ => return Err(meta.error(format!("serde has no case `{rule}`"))),
        };
        Ok(Case { separator, words, first })
    }

    /// A field, written `snake_case`. `lowercase` leaves it as it is: the word boundary is an underscore there.
    pub(crate) fn field(self, name: &str) -> String {
        match (self.separator, self.words) {
            ("", Words::Lower) => name.to_owned(),
            ("", Words::Upper) => name.to_ascii_uppercase(),
            _ => self.join(name.split('_').filter(|word| !word.is_empty())),
        }
    }

    /// A variant, written `PascalCase`.
    pub(crate) fn variant(self, name: &str) -> String {
        let starts: Vec<_> = name.char_indices().filter(|(at, c)| *at == 0 || c.is_uppercase()).map(|(at, _)| at).collect();
        let ends = starts.iter().skip(1).copied().chain([name.len()]);
        self.join(starts.iter().zip(ends).map(|(&start, end)| &name[start..end]))
    }

    fn join<'a>(self, words: impl Iterator<Item = &'a str>) -> String {
        let spelled: Vec<_> =
            words.enumerate().map(|(at, word)| if at == 0 { self.first.spell(word) } else { self.words.spell(word) }).collect();
        spelled.join(self.separator)
    }
}

impl Words {
    fn spell(self, word: &str) -> String {
        match self {
            Words::Lower => word.to_ascii_lowercase(),
            Words::Upper => word.to_ascii_uppercase(),
            Words::Capital => {
                let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
                first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
            }
        }
    }
}
