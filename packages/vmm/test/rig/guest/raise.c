/*
 * raise RESOURCE OFFSET VALUE: writes VALUE to a register of a memory BAR every 5 ms, until it is killed. RESOURCE is the
 * BAR's file in sysfs; the kernel must run with iomem=relaxed, since a driver has the same BAR.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long offset = argc == 4 ? strtoul(argv[2], NULL, 0) : 0;
	int fd = argc == 4 ? open(argv[1], O_RDWR) : -1;
	volatile uint32_t *regs = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (regs == MAP_FAILED || offset >= 4096) {
		printf("raise %s: %s\n", argc > 1 ? argv[1] : "", strerror(errno));
		return 1;
	}
	for (;;) {
		regs[offset / 4] = strtoul(argv[3], NULL, 0);
		usleep(5000);
	}
}
