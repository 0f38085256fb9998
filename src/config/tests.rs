use super::{Config, check::Network, example::example};

pub(super) fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, variables).map_err(|error| error.to_string())
}

#[test]
fn empty_configuration_is_the_default() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.name, "localhost");
    assert_eq!(config.listen.client, "127.0.0.1:8008");
    assert!(!config.registration.enabled);
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    assert_eq!(
        parse("[server]\nnmae = 'a'", &[]).unwrap_err(),
        "unknown key `nmae` in section [server], did you mean `name`?"
    );
    assert_eq!(
        parse("[servr]", &[]).unwrap_err(),
        "unknown section [servr], did you mean `server`?"
    );
    assert_eq!(
        parse("", &[("PLAYHOUSE_SERVERNAME", "a")]).unwrap_err(),
        "unknown variable PLAYHOUSE_SERVERNAME, did you mean `PLAYHOUSE_SERVER_NAME`?"
    );
    assert!(parse("", &[("PLAYHOUSE_TEST_ANYTHING", "a")]).is_ok());
}

#[test]
fn variables_win_over_the_file() {
    let file = "[server]\nname = 'file.example'\n[rooms]\ndefault_version = '10'";
    let config = parse(
        file,
        &[
            ("PLAYHOUSE_SERVER_NAME", "variable.example"),
            ("PLAYHOUSE_LISTEN", "127.0.0.1:0"),
            ("PLAYHOUSE_RATE_LIMITS", "off"),
            ("PLAYHOUSE_ENABLE_REGISTRATION", "true"),
            ("PLAYHOUSE_LISTEN_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("PLAYHOUSE_LIMITS_BODY_BYTES_MAX", "70000"),
            (
                "PLAYHOUSE_LIMITS_RATE_JOIN",
                "{ per_second = 3.0, burst = 4 }",
            ),
            ("PLAYHOUSE_DATABASE", ""),
        ],
    )
    .unwrap();
    assert_eq!(config.server.name, "variable.example");
    assert_eq!(config.rooms.default_version, "10");
    assert_eq!(config.listen.client, "127.0.0.1:0");
    assert!(!config.limits.rate_limits);
    assert!(config.registration.enabled);
    assert_eq!(config.listen.trusted_proxies, ["10.0.0.0/8", "::1"]);
    assert_eq!(config.limits.body_bytes_max, 70_000);
    assert_eq!(config.limits.rate_join.burst, 4);
    assert_eq!(config.database.url, None);
}

#[test]
fn databases_are_named_alone_or_together() {
    let of = |file: &str, variables: &[(&str, &str)]| {
        let config = parse(file, variables).unwrap();
        config.database.addresses().to_vec()
    };
    assert!(of("", &[]).is_empty());
    assert_eq!(
        of("[database]\nurl = 'postgres://a'", &[]),
        ["postgres://a"]
    );
    let variables = [("PLAYHOUSE_DATABASE_URLS", "postgres://a, postgres://b")];
    assert_eq!(of("", &variables), ["postgres://a", "postgres://b"]);
}

#[test]
fn nonsense_is_refused_by_name() {
    for (file, word) in [
        ("[server]\nname = 'https://a'", "[server] name"),
        ("[rooms]\ndefault_version = '99'", "default_version"),
        ("[listen]\nclient = 'here'", "[listen] client"),
        (
            "[listen]\nclient_tls_cert = 'a.pem'",
            "both the certificate",
        ),
        ("[database]\nurl = 'mysql://a'", "[database] url"),
        ("[database]\nurls = ['mysql://a']", "[database] urls"),
        (
            "[database]\nurl = 'postgres://a'\nurls = ['postgres://b']",
            "do not go together",
        ),
        (
            "[database]\nurls = ['postgres://a', 'postgres://a']",
            "named once",
        ),
        (
            "[database]\nshards = 1\nurls = ['postgres://a', 'postgres://b']",
            "cannot lie in 2",
        ),
        ("[database]\nconnections = 0", "[database] connections"),
        (
            "[database]\nstatement_timeout_ms = 5",
            "statement_timeout_ms",
        ),
        (
            "[server_notices]\nlocalpart = 'No Body'",
            "[server_notices] localpart",
        ),
        (
            "[server_notices]\nlocalpart = 'a'\navatar_url = 'http://a'",
            "[server_notices] avatar_url",
        ),
        ("[log]\nformat = 'xml'", "[log] format"),
        ("[limits]\nbody_bytes_max = 5", "body_bytes_max"),
        ("[limits]\nbody_bytes_max = 'much'", "body_bytes_max"),
        ("[server", "not TOML"),
    ] {
        let error = parse(file, &[]).unwrap_err();
        assert!(error.contains(word), "{file}: {error}");
    }
}

#[test]
fn example_reads_back_as_the_default() {
    let text = example(&[]);
    assert_eq!(parse(&text, &[]).unwrap(), Config::default());
    let all: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| is_option(rest))
                .unwrap_or(line)
        })
        .filter(|line| !line.contains("_tls_"))
        .fold(String::new(), |text, line| text + line + "\n");
    parse(&all, &[]).unwrap();
}

fn is_option(line: &str) -> bool {
    !line.starts_with(' ') && line.contains(" = ")
}

#[test]
fn example_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/playhouse.example.toml");
    let generated = example(&[]);
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    if stored != generated {
        std::fs::write(path, generated).unwrap();
        panic!("ops/playhouse.example.toml was out of date; it has been written anew, commit it");
    }
}

#[test]
fn networks_contain_their_addresses() {
    let network = Network::parse("10.1.0.0/16").unwrap();
    assert!(network.contains("10.1.2.3".parse().unwrap()));
    assert!(!network.contains("10.2.2.3".parse().unwrap()));
    let all = Network::parse("::/0").unwrap();
    assert!(all.contains("2001:db8::1".parse().unwrap()));
    assert!(!all.contains("127.0.0.1".parse().unwrap()));
    assert!(Network::parse("10.0.0.0/33").is_none());
}
