use proptest::prelude::*;

use super::*;

fn strict() -> Outbound {
    Outbound {
        own: vec!["192.0.2.10:8480".parse().unwrap(), "0.0.0.0:8481".parse().unwrap()],
        reserved: vec!["127.10.0.0/16".parse().unwrap()],
        ..Outbound::default()
    }
}

fn open() -> Outbound {
    Outbound { allow_loopback: true, allow_private: true, ..strict() }
}

fn verdict(filter: &Outbound, profile: Profile, ip: &str, port: u16) -> Option<Rule> {
    filter.check(profile, SocketAddr::new(ip.parse().unwrap(), port)).err().map(|refusal| refusal.rule)
}

#[test]
fn each_address_under_each_profile() {
    use Rule::{Broadcast, LinkLocal, Loopback, Multicast, Private, Special, Unspecified};
    // address, strict target, strict URL
    for (ip, target, url) in [
        ("198.41.0.4", None, None),
        ("2001:503:ba3e::2:30", None, None),
        ("10.1.2.3", None, Some(Private)),
        ("172.31.0.1", None, Some(Private)),
        ("172.32.0.1", None, None),
        ("192.168.1.1", None, Some(Private)),
        ("100.64.0.1", None, Some(Private)),
        ("fd12::1", None, Some(Private)),
        ("192.0.2.1", None, Some(Special)),
        ("2001:db8::1", None, Some(Special)),
        ("127.0.0.1", Some(Loopback), Some(Loopback)),
        ("127.9.9.9", Some(Loopback), Some(Loopback)),
        ("::1", Some(Loopback), Some(Loopback)),
        ("0.0.0.0", Some(Unspecified), Some(Unspecified)),
        ("0.1.2.3", Some(Unspecified), Some(Unspecified)),
        ("::", Some(Unspecified), Some(Unspecified)),
        ("224.0.0.1", Some(Multicast), Some(Multicast)),
        ("ff02::1", Some(Multicast), Some(Multicast)),
        ("255.255.255.255", Some(Broadcast), Some(Broadcast)),
        ("169.254.169.254", Some(LinkLocal), Some(LinkLocal)),
        ("fe80::1", Some(LinkLocal), Some(LinkLocal)),
        ("fd00:ec2::254", Some(LinkLocal), Some(LinkLocal)),
        ("100.100.100.200", Some(LinkLocal), Some(LinkLocal)),
        ("::ffff:127.0.0.1", Some(Loopback), Some(Loopback)),
        ("::ffff:169.254.169.254", Some(LinkLocal), Some(LinkLocal)),
        ("::ffff:10.0.0.1", None, Some(Private)),
        ("::127.0.0.1", Some(Loopback), Some(Loopback)),
        ("::ffff:0:127.0.0.1", Some(Loopback), Some(Loopback)),
        ("2002:7f00:1::", Some(Loopback), Some(Loopback)),
        ("2002:a9fe:a9fe::1", Some(LinkLocal), Some(LinkLocal)),
        ("64:ff9b::127.0.0.1", Some(Loopback), Some(Loopback)),
        ("64:ff9b::198.41.0.4", None, None),
        ("64:ff9b:1::127.0.0.1", Some(Unspecified), Some(Unspecified)),
        ("64:ff9b:1:7f00:0:100::", Some(Unspecified), Some(Unspecified)),
        ("64:ff9b:1:a9fe:a9:fe00:c629:4", Some(LinkLocal), Some(LinkLocal)),
        ("2001:0:c629:4::5601:5601", Some(LinkLocal), Some(LinkLocal)),
        ("2001:4860::5efe:169.254.169.254", Some(LinkLocal), Some(LinkLocal)),
    ] {
        assert_eq!(verdict(&strict(), Profile::BalancerTarget, ip, 80), target, "{ip} as target");
        assert_eq!(verdict(&strict(), Profile::Url, ip, 80), url, "{ip} in a URL");
    }
}

#[test]
fn flags_lift_only_their_rule() {
    for profile in [Profile::BalancerTarget, Profile::Url] {
        for ip in ["127.0.0.1", "::1", "10.0.0.1", "fd12::1", "::ffff:127.0.0.1"] {
            assert_eq!(verdict(&open(), profile, ip, 80), None, "{ip}");
        }
        assert_eq!(verdict(&open(), profile, "169.254.169.254", 80), Some(Rule::LinkLocal));
        assert_eq!(verdict(&open(), profile, "0.0.0.0", 80), Some(Rule::Unspecified));
        assert_eq!(verdict(&open(), profile, "127.0.0.1", 0), Some(Rule::NoPort));
    }
}

#[test]
fn own_listeners_are_out_of_reach_in_every_form() {
    for (ip, port) in [
        ("192.0.2.10", 8480),
        ("::ffff:192.0.2.10", 8480),
        ("127.0.0.1", 8481),
        ("127.0.0.9", 8481),
        ("::1", 8481),
        ("127.10.0.1", 80),
        ("64:ff9b::192.0.2.10", 8480),
    ] {
        assert_eq!(verdict(&open(), Profile::BalancerTarget, ip, port), Some(Rule::OwnListener), "{ip}:{port}");
    }
    assert_eq!(verdict(&open(), Profile::BalancerTarget, "192.0.2.10", 8479), None);
}

#[test]
fn a_refusal_names_the_flag_that_helps() {
    let refusal = strict().check(Profile::BalancerTarget, "127.0.0.1:80".parse().unwrap()).unwrap_err();
    assert!(refusal.to_string().contains(ALLOW_LOOPBACK), "{refusal}");
    let refusal = open().check(Profile::Url, "169.254.169.254:80".parse().unwrap()).unwrap_err();
    assert!(!refusal.to_string().contains("--"), "{refusal}");
}

proptest! {
    #[test]
    fn no_ipv6_form_reaches_a_refused_ipv4(bits in any::<u32>(), form in 0..5, filter in any::<bool>()) {
        let four = Ipv4Addr::from(bits);
        let [a, b, c, d] = four.octets().map(u16::from);
        let (high, low) = ((a << 8) | b, (c << 8) | d);
        let six = match form {
            0 => Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            1 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            2 => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            3 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            _ => Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        };
        let filter = if filter { open() } else { strict() };
        for profile in [Profile::BalancerTarget, Profile::Url] {
            if filter.check(profile, SocketAddr::new(four.into(), 80)).is_err() && bits > 1 {
                prop_assert!(filter.check(profile, SocketAddr::new(six.into(), 80)).is_err(), "{} as {}", four, six);
            }
        }
    }

    #[test]
    fn what_a_url_may_reach_a_target_may(bits in any::<u128>()) {
        let address = SocketAddr::new(Ipv6Addr::from(bits).into(), 80);
        if strict().check(Profile::Url, address).is_ok() {
            prop_assert!(strict().check(Profile::BalancerTarget, address).is_ok());
        }
    }
}
