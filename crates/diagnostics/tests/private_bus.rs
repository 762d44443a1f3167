//! The bus that other tests publish their services on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

mod support {
    pub(crate) mod bus;
}

use support::bus::PrivateBus;

struct Greeter;

#[zbus::interface(name = "org.example.Greeter")]
impl Greeter {
    #[zbus(property)]
    fn greeting(&self) -> String {
        "hello".to_owned()
    }
}

const NAME: &str = "org.example.Greeter";

#[test]
fn a_service_that_is_published_answers_under_its_name() {
    let mut bus = PrivateBus::start();
    bus.publish(NAME, |builder| builder.serve_at("/org/example", Greeter));
    let greeting = bus.property::<String>(NAME, "/org/example", (NAME, "Greeting")).unwrap();
    assert_eq!(greeting, "hello");
}

#[test]
fn a_rule_of_the_bus_keeps_a_call_out() {
    let mut bus = PrivateBus::with_rules(r#"<deny send_interface="org.freedesktop.DBus.Properties"/>"#);
    bus.publish(NAME, |builder| builder.serve_at("/org/example", Greeter));
    let error = bus.property::<String>(NAME, "/org/example", (NAME, "Greeting")).unwrap_err();
    assert!(error.to_string().contains("AccessDenied"), "{error}");
}
