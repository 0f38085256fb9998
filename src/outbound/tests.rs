//! The table of addresses, the notations, and names that change their mind.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{addresses::special, resolver::Looking, *};

/// Nobody outside is reached by these.
const SPECIAL: &str = "
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
    172.31.255.255 192.0.0.8 192.0.0.170 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 ::10.0.0.1
    ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1
    2001:0:53aa:64c::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 2002:c0a8:1::1 2620:4f:8000::1
    3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1
";

/// The public neighbours of special networks, and some others.
const PUBLIC: &str = "
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 172.15.255.255
    172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2001:4860:4860::8888
    2001:db9::1 2003::1 2606:4700::1111 2620:4f:7fff::1 2a00:1450::1 3ffe:ffff::1
";

#[test]
fn special_addresses() {
    for address in SPECIAL.split_whitespace() {
        let address: IpAddr = address.parse().unwrap();
        assert!(special(address).is_some(), "{address}");
    }
    for address in PUBLIC.split_whitespace() {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(special(address), None, "{address}");
    }
}

#[test]
fn what_the_operator_says_of_addresses() {
    let networks = |text: &[&str]| {
        text.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let rules = AddressRules::new(
        &networks(&["10.1.0.0/16", "2001:db8::/64"]),
        &networks(&["8.8.0.0/16", "2606:4700::/32"]),
    );
    for (address, permitted) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.2.3", false),
        ("2001:db8::7", true),
        ("2001:db8:1::7", false),
        ("8.8.8.8", false),
        ("::ffff:8.8.8.8", false),
        ("8.9.8.8", true),
        ("2606:4700::1", false),
    ] {
        assert_eq!(
            rules.permit(address.parse().unwrap()),
            permitted,
            "{address}"
        );
    }
}

fn rules(allow: &[&str]) -> Rules {
    let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
    Rules {
        addresses: AddressRules::new(&allow, &[]),
        ports: ["80", "443", "1024-65535"]
            .into_iter()
            .filter_map(Ports::parse)
            .collect(),
        deny_urls: [
            "*.internal.example",
            "http://plain.example",
            "https://secret.example/private/*",
        ]
        .into_iter()
        .filter_map(UrlPattern::parse)
        .collect(),
    }
}

#[test]
fn urls_are_judged_before_anything_is_resolved() {
    let outbound = Outbound::new(&Arc::default(), rules(&[]), Arc::new(SystemLookup), "test");
    for text in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://①②⑦.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1]/",
        "http://0/",
        "http://a:b@example.org/",
        "http://a@example.org/",
        "http://example.org:25/",
        "http://example.org:0/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http://a.internal.example/",
        "http://A.INTERNAL.example./x",
        "http://plain.example/",
        "https://secret.example/private/x?y",
    ] {
        let verdict = outbound.url(text);
        assert!(
            matches!(verdict, Err(OutboundError::Refused(_))),
            "{text}: {verdict:?}"
        );
    }
    for text in [
        "",
        "no url",
        "//example.org",
        "http://",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
    ] {
        let verdict = outbound.url(text);
        assert_eq!(verdict.unwrap_err(), OutboundError::NotAUrl, "{text}");
    }
    for text in [
        "http://example.org/",
        "https://example.org:8443/a?b#c",
        "http://1.1.1.1/",
        "https://plain.example/",
        "https://secret.example/public",
        "http://xn--bcher-kva.example/",
    ] {
        assert!(outbound.url(text).is_ok(), "{text}");
    }
}

/// A name server that tells the truth as long as somebody looks.
struct Rebinding(AtomicUsize);

impl Lookup for Rebinding {
    fn addresses(&self, host: &str) -> Looking {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        let address: &[&str] = match (host, asked) {
            ("mixed.example", _) => &["127.0.0.5", "127.0.0.1"],
            (_, 0) => &["127.0.0.5"],
            _ => &["127.0.0.1"],
        };
        let found: Vec<IpAddr> = address.iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(async move { io::Result::Ok(found) })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let allowed = TcpListener::bind("127.0.0.5:0").await.unwrap();
    let port = allowed.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = allowed.accept().await {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    });
    let lookup = Arc::new(Rebinding(AtomicUsize::new(0)));
    let rules = rules(&["127.0.0.5/32"]);
    let outbound = Outbound::new(&Arc::default(), rules, lookup.clone(), "test");
    let wanted = Wanted {
        accept: "*/*",
        language: None,
        bytes_max: 1000,
        deadline: Instant::now() + Duration::from_secs(60),
    };
    // The first hop is allowed and redirects to itself; by then the name means something inside.
    let url = outbound
        .url(&format!("http://rebind.example:{port}/"))
        .unwrap();
    let verdict = outbound.get(url, &wanted).await.err().unwrap();
    assert_eq!(verdict, OutboundError::Refused("this address is not asked"));
    assert_eq!(lookup.0.load(Ordering::Relaxed), 2, "once for each hop");
    let url = outbound
        .url(&format!("http://mixed.example:{port}/"))
        .unwrap();
    let verdict = outbound.get(url, &wanted).await.err().unwrap();
    assert_eq!(verdict, OutboundError::Refused("this address is not asked"));
}
