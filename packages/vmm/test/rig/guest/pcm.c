/*
 * pcm DEVICE: plays a quarter of a second. Samples only leave as fast as the device says by its position, which it
 * writes into memory, and waiting for the last one needs the interrupts of its periods.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <sound/asound.h>

#define RATE 48000
#define FRAMES (RATE / 4)
#define PERIOD 1024

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void mask(struct snd_pcm_hw_params *p, int which, unsigned bit)
{
	memset(&p->masks[which - SNDRV_PCM_HW_PARAM_FIRST_MASK], 0, sizeof(struct snd_mask));
	p->masks[which - SNDRV_PCM_HW_PARAM_FIRST_MASK].bits[bit / 32] = 1u << (bit % 32);
}

static void fix(struct snd_pcm_hw_params *p, int which, unsigned value)
{
	struct snd_interval *i = &p->intervals[which - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];

	memset(i, 0, sizeof *i);
	i->min = i->max = value;
	i->integer = 1;
}

static long milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	static int16_t samples[FRAMES * 2];
	struct snd_pcm_hw_params p = { 0 };
	struct snd_xferi x = { .buf = samples, .frames = FRAMES };
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	long start;

	if (fd < 0)
		die("open");
	memset(p.masks, 0xff, sizeof p.masks);
	for (unsigned i = 0; i < sizeof p.intervals / sizeof p.intervals[0]; i++)
		p.intervals[i].max = UINT_MAX;
	p.rmask = ~0u;
	mask(&p, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
	mask(&p, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
	mask(&p, SNDRV_PCM_HW_PARAM_SUBFORMAT, SNDRV_PCM_SUBFORMAT_STD);
	fix(&p, SNDRV_PCM_HW_PARAM_CHANNELS, 2);
	fix(&p, SNDRV_PCM_HW_PARAM_RATE, RATE);
	fix(&p, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
	fix(&p, SNDRV_PCM_HW_PARAM_BUFFER_SIZE, PERIOD * 4);
	if (ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &p))
		die("hw_params");
	if (ioctl(fd, SNDRV_PCM_IOCTL_PREPARE))
		die("prepare");
	for (int i = 0; i < FRAMES * 2; i++)
		samples[i] = (i / 2 % 96 < 48 ? 8000 : -8000);
	start = milliseconds();
	if (ioctl(fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x) || x.result != FRAMES)
		die("write");
	if (ioctl(fd, SNDRV_PCM_IOCTL_DRAIN))
		die("drain");
	printf("%d frames in %ld ms\n", FRAMES, milliseconds() - start);
	return 0;
}
