//! `#[task]`: the function as it stands, and beside it a type of the same name that implements `Task`.
//!
//! Functions and types are named apart, so `export_tasks!(remind)` finds the type where a test calls the function.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, ItemFn, LitStr, Result, Type};

use crate::attributes::{self, Attributes};
use crate::cron::Cron;
use crate::schema::first_paragraph;

pub(crate) fn expand(attributes: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let attributes = attributes::parse(attributes)?;
    let function: ItemFn = syn::parse2(function)?;
    let parameters = parameters(&function)?;
    let name = name(&attributes, &function)?;

    let (ident, vis) = (&function.sig.ident, &function.vis);
    let definition = definition(&attributes, &function, &name, parameters.input());
    let read = parameters.input().map(|input| quote!(let input: #input = ::runlater_task::__private::read_input(json)?;));
    let arguments = parameters.0.iter().map(|parameter| match parameter {
        Parameter::Input(_) => quote!(input),
        Parameter::Run => quote!(run),
    });
    // Without an input the JSON is not looked at: a run may carry one for a later version of the task.
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #vis struct #ident {}

        impl ::runlater_task::Task for #ident {
            const NAME: &'static str = #name;

            #[inline(always)]
            fn definition() -> ::runlater_task::Definition {
                #definition
            }

            #[allow(unused_variables)]
            fn handle(
                json: &[u8],
                run: &::runlater_task::Run,
            ) -> ::core::result::Result<::runlater_task::__private::JsonOutcome, ::runlater_task::Failure> {
                #read
                ::runlater_task::__private::IntoOutcome::into_outcome(#ident(#(#arguments),*))
            }
        }
    })
}

fn name(attributes: &Attributes, function: &ItemFn) -> Result<LitStr> {
    if let Some(name) = &attributes.name {
        return Ok(name.clone());
    }
    let ident = &function.sig.ident;
    let name = ident.to_string();
    attributes::check_name(&name).map_err(|reason| syn::Error::new(ident.span(), reason))?;
    Ok(LitStr::new(&name, ident.span()))
}

enum Parameter {
    Input(Box<Type>),
    Run,
}

struct Parameters(Vec<Parameter>);

impl Parameters {
    fn input(&self) -> Option<&Type> {
        self.0.iter().find_map(|parameter| match parameter {
            Parameter::Input(input) => Some(&**input),
            Parameter::Run => None,
        })
    }
}

fn parameters(function: &ItemFn) -> Result<Parameters> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(syn::Error::new(token.span, "a task is not async: it has its instance for itself, and may block"));
    }
    if !signature.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&signature.generics, "a task has no generic parameters: its input is one type"));
    }
    if matches!(signature.output, syn::ReturnType::Default) {
        return Err(syn::Error::new(signature.ident.span(), "a task returns a result, for example `Result<(), Failure>`"));
    }
    let mut parameters = Vec::new();
    for argument in &signature.inputs {
        let FnArg::Typed(argument) = argument else {
            return Err(syn::Error::new_spanned(argument, "a task is a plain function: it has no `self`"));
        };
        parameters.push(match &*argument.ty {
            Type::Reference(reference) if reference.mutability.is_none() && is_run(&reference.elem) => Parameter::Run,
            Type::Reference(_) => {
                return Err(syn::Error::new_spanned(&argument.ty, "a task owns its input: take the type itself, or `&Run`"));
            }
            input => Parameter::Input(Box::new(input.clone())),
        });
    }
    let inputs = parameters.iter().filter(|parameter| matches!(parameter, Parameter::Input(_))).count();
    if inputs > 1 || parameters.len() - inputs > 1 {
        return Err(syn::Error::new_spanned(
            &signature.inputs,
            "a task takes at most one input and one `&Run`: make one struct of the inputs",
        ));
    }
    Ok(Parameters(parameters))
}

fn is_run(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Run"))
}

fn definition(attributes: &Attributes, function: &ItemFn, name: &LitStr, input: Option<&Type>) -> TokenStream {
    let description = option(first_paragraph(&function.attrs).map(|text| quote!(#text)));
    let schema = match input {
        Some(input) => quote!(::runlater_task::__private::input_schema::<#input>()),
        None => quote!(::core::option::Option::None),
    };
    let max_attempts = option(attributes.max_attempts.as_ref().map(|number| quote!(#number)));
    let priority = option(attributes.priority.as_ref().map(|number| quote!(#number)));
    let timeout = option(attributes.timeout.as_ref().map(duration));
    let retry_delay = option(attributes.retry_delay.as_ref().map(|(base, max)| {
        let (base, max) = (duration(base), duration(max));
        quote!((#base, #max))
    }));
    let retry_delays = option(attributes.retry_delays.as_ref().map(|delays| {
        let delays = delays.iter().map(duration);
        quote!(const { &[#(#delays),*] })
    }));
    let policies = attributes.policies.fields();
    let schedules = attributes.schedules.iter().map(|schedule| {
        let (key, at) = (&schedule.key, instant(&schedule.at));
        let input = option(schedule.input.as_ref().map(|json| quote!(#json)));
        quote!(::runlater_task::CodeSchedule { key: #key, at: #at, input: #input })
    });
    let crons = attributes.crons.iter().map(Cron::value);
    quote! {
        ::runlater_task::Definition {
            name: #name,
            description: #description,
            input_schema: #schema,
            max_attempts: #max_attempts,
            retry_delay: #retry_delay,
            retry_delays: #retry_delays,
            timeout: #timeout,
            priority: #priority,
            #policies
            schedules: ::std::vec![#(#schedules),*],
            crons: ::std::vec![#(#crons),*],
        }
    }
}

pub(crate) fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

// The SDK's own parsers read times, in a constant: one reading of them, and a wrong one fails the build at its place.
pub(crate) fn duration(text: &LitStr) -> TokenStream {
    constant(text, quote!(::runlater_task::Duration), "expected a duration such as \"30s\", \"1h30m\" or \"250ms\"")
}

pub(crate) fn instant(text: &LitStr) -> TokenStream {
    constant(text, quote!(::runlater_task::Instant), "expected a time such as \"2030-01-01T00:00:00Z\"")
}

fn constant(text: &LitStr, ty: TokenStream, expected: &str) -> TokenStream {
    let span: Span = text.span();
    let fail = quote_spanned!(span=> ::core::panic!(#expected));
    quote! {
        const {
            match #ty::parse(#text) {
                ::core::result::Result::Ok(time) => time,
                ::core::result::Result::Err(_) => #fail,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn functions_that_can_be_no_task_are_refused() {
        for (function, expected) in [
            ("async fn a() -> R {}", "a task is not async: it has its instance for itself, and may block"),
            ("fn a<T>(input: T) -> R {}", "a task has no generic parameters: its input is one type"),
            ("fn a() {}", "a task returns a result, for example `Result<(), Failure>`"),
            ("fn a(input: &str) -> R {}", "a task owns its input: take the type itself, or `&Run`"),
            ("fn a(x: u8, y: u8) -> R {}", "a task takes at most one input and one `&Run`: make one struct of the inputs"),
            (
                "fn A() -> R {}",
                "`A` can't be the name of a task: 1 to 128 of a-z 0-9 . _ - and a letter or digit first; give it another with #[task(name = \"…\")]",
            ),
        ] {
            let error = expand("".parse().unwrap(), function.parse().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
