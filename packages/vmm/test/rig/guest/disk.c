/*
 * disk DEVICE AREA: blocks through DMA. What the host put at the start must be read; what is written to area AREA (the
 * n-th 64 KiB, counted from 1) must be there when it is read again, into a buffer that held something else. O_DIRECT,
 * so that the device itself works on these buffers. The pattern is also pattern() of ../disks.ts, which made the disk
 * and looks at it afterwards.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AREA_SIZE 65536

static uint32_t word(uint32_t area, uint32_t index)
{
	return (index + 1) * 0x9e3779b1u ^ area * 0x85ebca6bu;
}

static void die(const char *what, uint32_t area)
{
	printf("%s of area %u: %s\n", what, area, strerror(errno));
	exit(1);
}

static void check(int fd, uint32_t *buffer, uint32_t area)
{
	memset(buffer, 0xa5, AREA_SIZE);
	if (pread(fd, buffer, AREA_SIZE, (off_t)area * AREA_SIZE) != AREA_SIZE)
		die("read", area);
	for (uint32_t i = 0; i < AREA_SIZE / 4; i++) {
		if (buffer[i] != word(area, i)) {
			printf("area %u, byte %u: %08x instead of %08x\n", area, i * 4, buffer[i], word(area, i));
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	uint32_t area = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, *buffer;
	int fd = area ? open(argv[1], O_RDWR | O_DIRECT | O_SYNC) : -1;

	if (fd < 0 || posix_memalign((void **)&buffer, 4096, AREA_SIZE))
		die("open", area);
	check(fd, buffer, 0);
	for (uint32_t i = 0; i < AREA_SIZE / 4; i++)
		buffer[i] = word(area, i);
	if (pwrite(fd, buffer, AREA_SIZE, (off_t)area * AREA_SIZE) != AREA_SIZE)
		die("write", area);
	check(fd, buffer, area);
	printf("64 KiB read, 64 KiB written and read again\n");
	return 0;
}
