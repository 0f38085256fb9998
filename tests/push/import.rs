//! Sygnal's configuration, read by the command line.

use super::gateway::program;

const SYGNAL: &str = "http: { port: 5001 }
metrics: { sentry: { enabled: true } }
apps:
  org.example.ios: { type: apns, keyfile: key.p8, key_id: K, team_id: T, topic: org.example }
  org.example.old: { type: gcm, api_key: k }
";

#[test]
fn a_configuration_is_written_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("sygnal.yaml"), SYGNAL).expect("a file");
    let arguments = ["push-gateway", "--import", "sygnal.yaml"];
    let run = |more: &[&str]| {
        let output = program(folder.path()).args(arguments).args(more).output();
        let output = output.expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (is_done, text, notes) = run(&[]);
    assert!(
        is_done && text.contains("id = \"org.example.ios\""),
        "{text}"
    );
    assert!(text.contains("listen = \"127.0.0.1:5001\""), "{text}");
    assert!(notes.contains("sentry") && notes.contains("org.example.old"));
    let file = ["--config", "push.toml"];
    assert!(run(&file).0);
    let written = std::fs::read_to_string(folder.path().join("push.toml"));
    assert_eq!(written.expect("a file").trim_end(), text.trim_end());
    let (is_done, _, trouble) = run(&file);
    assert!(!is_done && trouble.contains("push.toml"), "{trouble}");
    let checked = program(folder.path())
        .args(["config", "check", "push.toml"])
        .status();
    assert!(checked.expect("the program runs").success());
}
