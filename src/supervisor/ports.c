/* ports.c - a block of ports that nobody listens at. */
#include "supervisor/plan.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

bool port_is_free(uint16_t port, const char *host)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, host, &at.sin_addr) != 1) at.sin_addr.s_addr = htonl(INADDR_ANY);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* past connections do not count */
    bool is_free = bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_free;
}

uint16_t port_block_find(uint16_t base, uint32_t count, const char *host)
{
    for (uint32_t first = base; first + PORT_BLOCK_SIZE <= 65536; first += PORT_BLOCK_SIZE) {
        uint32_t i = 0;
        while (i < count && port_is_free((uint16_t)(first + i), host))
            i++;
        if (i == count) return (uint16_t)first;
    }
    return 0;
}
