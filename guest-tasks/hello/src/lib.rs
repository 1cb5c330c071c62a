//! The smallest task: takes a name, logs a line, returns a greeting.

use runlater_task::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Hello {
    /// Who is greeted.
    #[serde(default = "world")]
    name: String,
}

fn world() -> String {
    "world".to_owned()
}

#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

/// Greets somebody.
#[task]
fn hello(input: Hello) -> Result<Greeting, Failure> {
    let greeting = format!("Hello, {}!", input.name);
    log::info(&greeting);
    Ok(Greeting { greeting })
}

export_tasks!(hello);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        let greeting = |name: &str| hello(Hello { name: name.to_owned() }).unwrap().greeting;
        assert_eq!(greeting("Ada"), "Hello, Ada!");
    }
}
