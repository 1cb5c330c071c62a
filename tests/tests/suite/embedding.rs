//! The example of a program with a scheduler inside, run as its page says.

use std::process::Command;

use crate::built;

#[test]
fn the_example_does_what_its_page_says() {
    let ran = Command::new(built::example("embed")).arg(built::guest("hello")).arg("{\"name\": \"Ada\"}").output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let greeting = "hello succeeded {\"greeting\":\"Hello, Ada!\"}";
    assert_eq!(
        said,
        format!(
            "after 2 s of the program's time: {greeting}\nwithout its order: true\nwith its order: {greeting}\ntasks of customer-7: 0\n"
        )
    );
}
