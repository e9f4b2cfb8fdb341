/* net_test.c - texts of addresses, both ways. */
#include "loop/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    enum net_scheme scheme;
    const char *host; /* NULL: malformed */
    uint16_t port;
    const char *canonical; /* NULL: the text itself */
} cases[] = {
    { "TCP://10.0.0.1:8000", NET_TCP, "10.0.0.1", 8000, NULL },
    { "tcp://10.0.0.1:8000", NET_TCP, "10.0.0.1", 8000, "TCP://10.0.0.1:8000" },
    { "node-1.example:1", NET_TCP, "node-1.example", 1, "TCP://node-1.example:1" },
    { "IPoIB://ib0_host:65535", NET_IPOIB, "ib0_host", 65535, NULL },
    { "RDMA://192.168.1.2:8000", NET_RDMA, "192.168.1.2", 8000, NULL },
    { "TCP://[::1]:80", NET_TCP, "::1", 80, NULL },
    { "[fe80::1%eth0]:80", NET_TCP, "fe80::1%eth0", 80, "TCP://[fe80::1%eth0]:80" },
    { "[2001:db8::7]:0", NET_TCP, "2001:db8::7", 0, "TCP://[2001:db8::7]:0" },
    { "UNIX:///run/c3fs/kv.sock", NET_UNIX, "/run/c3fs/kv.sock", 0, NULL },
    { "LOCAL://meta", NET_LOCAL, "meta", 0, "LOCAL://meta:0" },
    { "LOCAL://meta:7", NET_LOCAL, "meta", 7, NULL },
    { "", 0, NULL, 0, NULL },
    { "TCP://", 0, NULL, 0, NULL },
    { "host", 0, NULL, 0, NULL },
    { "host:", 0, NULL, 0, NULL },
    { ":80", 0, NULL, 0, NULL },
    { "host:65536", 0, NULL, 0, NULL },
    { "host:100000000000000000000", 0, NULL, 0, NULL },
    { "host:-1", 0, NULL, 0, NULL },
    { "host:80x", 0, NULL, 0, NULL },
    { "host: 80", 0, NULL, 0, NULL },
    { "ho st:80", 0, NULL, 0, NULL },
    { "-host:80", 0, NULL, 0, NULL },
    { "::1:80", 0, NULL, 0, NULL },
    { "[::1]80", 0, NULL, 0, NULL },
    { "[::1]", 0, NULL, 0, NULL },
    { "[::1", 0, NULL, 0, NULL },
    { "[]:80", 0, NULL, 0, NULL },
    { "[host]:80", 0, NULL, 0, NULL },
    { "[::1%]:80", 0, NULL, 0, NULL },
    { "UDP://host:80", 0, NULL, 0, NULL },
    { "UNIX://relative", 0, NULL, 0, NULL },
    { "UNIX://", 0, NULL, 0, NULL },
    { "TCP://a/b:80", 0, NULL, 0, NULL },
};

static void test_parse(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct net_address a = { .port = 4711 };
        int r = net_address_parse(cases[i].text, &a);
        if (r != (cases[i].host ? 0 : -ERR_RPC_INVALID_ADDR))
            fail_msg("\"%s\": %d", cases[i].text, r);
        if (!cases[i].host) {
            assert_int_equal(a.port, 4711);
            continue;
        }
        char text[256];
        assert_int_equal(a.scheme, cases[i].scheme);
        assert_int_equal(a.port, cases[i].port);
        assert_string_equal(a.host, cases[i].host);
        assert_string_equal(net_address_to_text(&a, text, sizeof(text)),
                            cases[i].canonical ?: cases[i].text);
    }
}

static void test_lengths(void **state)
{
    char text[400] = "TCP://";
    struct net_address a;
    memset(text + 6, 'h', 239);
    memcpy(text + 6 + 239, ":80", 4);
    assert_int_equal(net_address_parse(text, &a), 0);
    char back[256];
    assert_string_equal(net_address_to_text(&a, back, sizeof(back)), text);
    memset(text + 6, 'h', 240);
    memcpy(text + 6 + 240, ":80", 4);
    assert_int_equal(net_address_parse(text, &a), -ERR_RPC_INVALID_ADDR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
