"""The forms of DEFIB_REDIS_URL: taken apart, or refused without showing the password."""

import pytest

from defib_core.config.redis_url import RedisKind, read_redis_url
from defib_core.config.settings import ApiSettings, SettingsError

DATABASE = "postgresql://defib:geheim@db:5432/defib"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379",
        "redis://localhost",
        "redis://:pass%40word@redis.example.com:6379/3?health_check_interval=5",
        "rediss://defib:word@10.0.0.1:6380/0?ssl_ca_certs=/ca.crt&ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_a_single_server_is_left_to_the_client(url: str) -> None:
    found = read_redis_url(url)
    assert (found.kind, found.plain) == (RedisKind.SINGLE, url)


def test_sentinel_names_the_primary_and_may_have_a_login_of_its_own() -> None:
    found = read_redis_url(
        "rediss+sentinel://defib:p%40ss@s1.example.com,s2.example.com:26380,[fd00::3]:26381"
        "/my%20master/2?ssl_ca_certs=/ca.crt&sentinel_username=watch&sentinel_password=se%26cret"
    )
    assert found.kind is RedisKind.SENTINEL
    assert found.hosts == (
        ("s1.example.com", 26379),
        ("s2.example.com", 26380),
        ("fd00::3", 26381),
    )
    assert found.service == "my master"
    assert found.sentinel_login == ("watch", "se&cret")
    assert found.plain == ("rediss://defib:p%40ss@s1.example.com:26379/2?ssl_ca_certs=%2Fca.crt")


def test_a_cluster_is_found_through_any_of_its_nodes() -> None:
    found = read_redis_url("redis+cluster://defib:word@n1:7000,n2")
    assert (found.kind, found.hosts) == (RedisKind.CLUSTER, (("n1", 7000), ("n2", 6379)))
    assert found.plain == "redis://defib:word@n1:7000/0"
    assert read_redis_url("rediss+cluster://n1/0").plain == "rediss://n1:6379/0"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://redis", "must begin with one of redis://"),
        ("sentinel://a/b", "must begin with one of"),
        ("redis+sentinels://a/b", "must begin with one of"),
        ("redis://", "redis:// needs a host"),
        ("redis://h:port", "its port is no number"),
        ("redis://h:70000", "its port is no number"),
        ("unix://", "unix:// needs a path"),
        ("redis+sentinel://a:1,b:2", "Sentinel's name of the primary must follow"),
        ("redis+sentinel://a:1/main/x", "Sentinel's name of the primary must follow"),
        ("redis+sentinel://a:1/main/0/1", "Sentinel's name of the primary must follow"),
        ("redis+sentinel://u:ge@heim@a:1/main", "write @ / ? # in a password as %40"),
        ("redis+sentinel://a:0/main", "host or host:port"),
        ("redis+sentinel://a:1,,b/main", "host or host:port"),
        ("redis+cluster://a:1/2", "a cluster has the database 0 alone"),
        ("redis+cluster://a:1?sentinel_password=geheim", "sentinel_password is no option"),
        ("redis://a:1?ssl_ca_cert=/x", "ssl_ca_cert is no option; known: db, "),
        ("redis://a:1?ssl_ca_certs=/x", "the URL must begin with rediss"),
    ],
)
def test_a_wrong_one_is_refused_at_the_start(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        ApiSettings.from_environment({"DEFIB_DATABASE_URL": DATABASE, "DEFIB_REDIS_URL": url})
    assert "DEFIB_REDIS_URL: " in str(refused.value)
    assert said in str(refused.value)
    assert "geheim" not in str(refused.value)
