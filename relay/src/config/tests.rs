use std::io::Write as _;

use super::{
    settings::{SETTINGS, Value},
    *,
};

fn resolved(text: &str) -> RelayConfig {
    RelayConfig::parse(text, &Overrides::default()).unwrap()
}

#[test]
fn the_sample_is_valid_and_changes_nothing() {
    assert_eq!(resolved(&sample()), resolved(""));
}

#[test]
fn the_defaults_in_the_sample_are_the_defaults() {
    let examples = SETTINGS
        .iter()
        .filter(|setting| matches!(setting.value, Value::Example(_)))
        .map(|setting| format!("#{} = ", setting.key))
        .collect::<Vec<_>>();
    let set = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let sample = sample();
    let mut lines = sample.lines().filter(set).filter(|line| !examples.iter().any(|key| line.starts_with(key)));
    let text = lines.by_ref().map(|line| format!("{}\n", &line[1..])).collect::<String>();
    assert_eq!(text.lines().count() + examples.len(), SETTINGS.len());

    let mut config = resolved(&text);
    // Named in the file, so no longer a mere wish.
    assert_eq!(config.listen, Listen::At(resolved("").listen.address()));
    assert_eq!(config.http, Http::At("127.0.0.1:9464".parse().unwrap()));
    config.listen = resolved("").listen;
    config.http = resolved("").http;
    assert_eq!(config, resolved(""));
    assert_eq!(config.broker, BrokerConfig::default());
}

#[test]
fn the_examples_in_the_sample_are_valid() {
    let text = SETTINGS
        .iter()
        .filter_map(|setting| match setting.value {
            Value::Example(shown) => Some(format!("{} = {shown}\n", setting.key)),
            Value::Default(_) | Value::Number { .. } => None,
        })
        .collect::<String>();
    let config = resolved(&text);
    assert_eq!(config.public_host.as_deref(), Some("relay.example.org"));
    assert_eq!(config.public_port, Some(443));
    assert_eq!(config.state_dir, Path::new("/var/lib/assent-relay"));
    let (chain, key) = config.tcp.unwrap().certificate.unwrap();
    assert!(chain.ends_with("fullchain.pem") && key.ends_with("privkey.pem"));
}

#[test]
fn every_number_is_checked_at_both_ends() {
    for setting in SETTINGS {
        let Value::Number { default, lowest, highest } = setting.value else { continue };
        assert!((lowest..=highest).contains(&default), "{}", setting.key);
        for good in [lowest, highest] {
            RelayConfig::parse(&format!("{} = {good}", setting.key), &Overrides::default()).unwrap();
        }
        for bad in [lowest - 1, highest + 1, i64::MIN, i64::MAX] {
            let error = RelayConfig::parse(&format!("{} = {bad}", setting.key), &Overrides::default()).unwrap_err();
            assert!(matches!(error, ConfigError::OutOfRange { key, value, .. } if key == setting.key && value == bad));
        }
    }
}

#[test]
fn tcp_is_taken_unless_somebody_says_no() {
    assert_eq!(resolved("max_tcp = 7").tcp, Some(TcpConfig { certificate: None, max: 7, max_per_address: 100 }));
    assert_eq!(resolved("tcp = false").tcp, None);
    let no_tcp = Overrides { no_tcp: true, ..Overrides::default() };
    assert_eq!(RelayConfig::parse("tcp = true", &no_tcp).unwrap().tcp, None);
    for half in ["tls_key = \"k\"", "tls_certificate = \"c\""] {
        let error = RelayConfig::parse(half, &Overrides::default()).unwrap_err();
        assert!(matches!(error, ConfigError::HalfCertificate), "{error}");
    }
}

#[test]
fn the_command_line_comes_before_the_file() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:7".into()),
        public_host: Some("a.example".into()),
        state_dir: Some("/s".into()),
        http: Some("127.0.0.1:0".into()),
        ..Overrides::default()
    };
    let text = "listen = \"[::1]:8\"\npublic_host = \"b\"\nstate_dir = \"/t\"\nhttp = \"off\"\ndrain_secs = 9";
    let config = RelayConfig::parse(text, &overrides).unwrap();
    assert_eq!(config.listen, Listen::At("127.0.0.1:7".parse().unwrap()));
    assert_eq!(config.public_host.as_deref(), Some("a.example"));
    assert_eq!(config.state_dir, Path::new("/s"));
    assert_eq!(config.http, Http::At("127.0.0.1:0".parse().unwrap()));
    assert_eq!(config.drain, Duration::from_secs(9));
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_what_to_do() {
    // File, part of the message, part of the help.
    let cases = [
        ("max_conections = 7", "max_conections", "assent-relay config"),
        ("max_connections = \"many\"", "max_connections", "assent-relay config"),
        ("listen = ", "line 1", "assent-relay config"),
        ("drain_secs = -5", "drain_secs = -5", "0 to 600"),
        ("max_channels = 99999999999", "max_channels = 99999999999", "1 to 1000000"),
        ("listen = \"relay.example.org:4433\"", "relay.example.org:4433", "[::]:4433"),
        ("listen = \"[::]\"", "\"[::]\"", "[::]:4433"),
        ("http = \"9464\"", "9464", "127.0.0.1:9464"),
        ("http = \"0.0.0.0:9464\"", "0.0.0.0:9464", "danger_http_for_everyone"),
        ("http = \"[::]:9464\"", "[::]:9464", "danger_http_for_everyone"),
        ("public_host = \"relay.example.org:4433\"", "relay.example.org:4433", "no port"),
        ("public_host = \"a b\"", "\"a b\"", "relay.example.org"),
        ("public_host = \"\"", "\"\"", "relay.example.org"),
        ("public_port = 0", "public_port = 0", "the port that others see"),
        ("public_port = 70000", "public_port", "assent-relay config"),
    ];
    for (text, message, help) in cases {
        let error = RelayConfig::parse(text, &Overrides::default()).expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(error.to_string().contains("nothing was started"), "{text}: {error}");
        let shown = miette::Diagnostic::help(&error).expect(text).to_string();
        assert!(shown.contains(help), "{text}: {shown}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let overrides = Overrides { config: Some("/nowhere/relay.toml".into()), ..Overrides::default() };
    let error = RelayConfig::load(&overrides).unwrap_err();
    assert!(error.to_string().contains("/nowhere/relay.toml"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.toml");
    fs::File::create(&path).unwrap().write_all(b"drain_secs = 3 # \xff").unwrap();
    let overrides = Overrides { config: Some(path.clone()), ..Overrides::default() };
    let error = RelayConfig::load(&overrides).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn metrics_for_everyone_need_the_word() {
    let config = resolved("http = \"0.0.0.0:9464\"\ndanger_http_for_everyone = true");
    assert_eq!(config.http, Http::At("0.0.0.0:9464".parse().unwrap()));
    assert_eq!(resolved("http = \"[::ffff:127.0.0.1]:1\"").http, Http::At("[::ffff:127.0.0.1]:1".parse().unwrap()));
    assert_eq!(resolved("http = \"off\"").http, Http::Off);
}

#[test]
fn a_host_is_a_name_or_an_address_with_or_without_brackets() {
    for (text, host) in [("relay.example.org", "relay.example.org"), ("[2001:db8::1]", "2001:db8::1"), ("::1", "::1")] {
        assert_eq!(resolved(&format!("public_host = \"{text}\"")).public_host.as_deref(), Some(host));
    }
}
