//! `#[derive(JsonSchema)]`: what serde reads, said as JSON Schema.
//!
//! Keys and descriptions become JSON text here, so that a component only strings constants together.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DataEnum, DeriveInput, Expr, ExprLit, Fields, Lit, Meta, Result, Type, Variant};

use crate::serde_attributes::{self, Case, SerdeAttributes};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let serde = serde_attributes::parse(&item.attrs)?;
    let head = head(&item.attrs);
    let body = match &item.data {
        Data::Struct(data) => fields(&data.fields, &serde, serde.rename_all, &head)?,
        Data::Enum(data) => variants(data, &serde, &head)?,
        Data::Union(data) => return Err(syn::Error::new(data.union_token.span, "a union has no JSON Schema")),
    };

    let ident = &item.ident;
    let mut generics = item.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(::runlater_task::JsonSchema));
    }
    let (parameters, arguments, bounds) = generics.split_for_impl();
    Ok(quote! {
        impl #parameters ::runlater_task::JsonSchema for #ident #arguments #bounds {
            fn json_schema(schema: &mut ::runlater_task::Schema) {
                #body
            }
        }
    })
}

/// The schema of a struct, or of a variant's content.
fn fields(fields: &Fields, container: &SerdeAttributes, case: Option<Case>, head: &str) -> Result<TokenStream> {
    match fields {
        Fields::Unit => Ok(quote!(schema.described::<()>(#head);)),
        Fields::Unnamed(tuple) if tuple.unnamed.len() == 1 => {
            let inner = &tuple.unnamed[0].ty;
            Ok(quote!(schema.described::<#inner>(#head);))
        }
        Fields::Unnamed(tuple) => {
            let inner = tuple.unnamed.iter().map(|field| &field.ty);
            Ok(quote!(schema.described::<(#(#inner,)*)>(#head);))
        }
        Fields::Named(_) => {
            if container.transparent {
                let inner: Vec<&Type> = fields.iter().map(|field| &field.ty).collect();
                return Ok(quote!(#(schema.described::<#inner>(#head);)*));
            }
            object(fields, container, case, head, None)
        }
    }
}

/// An object's schema; `tag` is a property with one allowed value, in front of the others.
fn object(fields: &Fields, container: &SerdeAttributes, case: Option<Case>, head: &str, tag: Option<(&str, &str)>) -> Result<TokenStream> {
    let (mut properties, mut required) = (Vec::new(), Vec::new());
    if let Some((key, value)) = tag {
        let text = format!("{}:{{\"const\":{}}}", json(key), json(value));
        properties.push(quote!(schema.raw(#text);));
        let key = json(key);
        required.push(quote!((#key, false)));
    }
    for field in fields {
        let serde = serde_attributes::parse(&field.attrs)?;
        if serde.skip {
            continue;
        }
        let plain = field.ident.as_ref().map(|ident| ident.to_string().trim_start_matches("r#").to_owned()).unwrap_or_default();
        let name = json(&serde.rename.unwrap_or_else(|| case.map_or(plain.clone(), |case| case.field(&plain))));
        let (ty, head) = (&field.ty, self::head(&field.attrs));
        properties.push(quote!(schema.property::<#ty>(#name, #head);));
        let optional = serde.default || container.default;
        required.push(quote!((#name, #optional || <#ty as ::runlater_task::JsonSchema>::is_optional())));
    }
    let deny = container.deny_unknown_fields;
    Ok(quote! {
        schema.open(#head);
        #(#properties)*
        schema.close(&[#(#required),*], #deny);
    })
}

fn variants(data: &DataEnum, container: &SerdeAttributes, head: &str) -> Result<TokenStream> {
    let mut names = Vec::new();
    let mut alternatives = Vec::new();
    for variant in &data.variants {
        let serde = serde_attributes::parse(&variant.attrs)?;
        if serde.skip {
            continue;
        }
        let plain = variant.ident.to_string();
        let name = serde.rename.clone().unwrap_or_else(|| container.rename_all.map_or(plain.clone(), |case| case.variant(&plain)));
        names.push(json(&name));
        alternatives.push(alternative(variant, &serde, &name, container)?);
    }
    let plain =
        container.tag.is_none() && !container.untagged && data.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit));
    if plain {
        let text = format!("{{{head}\"enum\":[{}]}}", names.join(","));
        return Ok(quote!(schema.raw(#text);));
    }
    let open = format!("{{{head}\"anyOf\":[");
    Ok(quote! {
        schema.raw(#open);
        #(schema.separate(); #alternatives)*
        schema.raw("]}");
    })
}

/// One variant, in the representation that its enum has chosen.
fn alternative(variant: &Variant, serde: &SerdeAttributes, name: &str, container: &SerdeAttributes) -> Result<TokenStream> {
    let head = head(&variant.attrs);
    let case = serde.rename_all.or(container.rename_all_fields);
    let content = |head: &str| fields(&variant.fields, container, case, head);
    let unit = matches!(variant.fields, Fields::Unit);
    if container.untagged || serde.untagged {
        return content(&head);
    }
    let (open, required) = match (&container.tag, &container.content) {
        (Some(tag), None) => {
            return match variant.fields {
                Fields::Unnamed(_) => {
                    Err(syn::Error::new_spanned(variant, "JsonSchema can't follow a tuple in a tagged enum: name its fields"))
                }
                _ => object(&variant.fields, container, case, &head, Some((tag, name))),
            };
        }
        (Some(tag), Some(_)) if unit => {
            (format!("{{{head}\"type\":\"object\",\"properties\":{{{}:{{\"const\":{}}}", json(tag), json(name)), json(tag))
        }
        (Some(tag), Some(key)) => (
            format!("{{{head}\"type\":\"object\",\"properties\":{{{}:{{\"const\":{}}},{}:", json(tag), json(name), json(key)),
            format!("{},{}", json(tag), json(key)),
        ),
        (None, _) if unit => {
            let text = format!("{{{head}\"const\":{}}}", json(name));
            return Ok(quote!(schema.raw(#text);));
        }
        (None, _) => (format!("{{{head}\"type\":\"object\",\"properties\":{{{}:", json(name)), json(name)),
    };
    let content = if unit { TokenStream::new() } else { content("")? };
    // Beside the name of a variant serde allows no other; beside a tag and its content only if the type does not deny them.
    let closed = if container.tag.is_none() || container.deny_unknown_fields { ",\"additionalProperties\":false" } else { "" };
    let close = format!("}},\"required\":[{required}]{closed}}}");
    Ok(quote! {
        schema.raw(#open);
        #content
        schema.raw(#close);
    })
}

/// The members that a description adds to a schema: `"description":"…",`, or nothing.
fn head(attributes: &[Attribute]) -> String {
    first_paragraph(attributes).map(|text| format!("\"description\":{},", json(&text))).unwrap_or_default()
}

/// The first paragraph of a doc comment, on one line.
pub(crate) fn first_paragraph(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let paragraph: Vec<_> = text.trim().lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    (!paragraph.is_empty()).then(|| paragraph.join(" "))
}

/// A text as JSON.
fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
