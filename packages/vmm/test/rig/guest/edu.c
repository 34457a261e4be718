// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A driver for QEMU's "edu" device (docs/specs/edu.txt of QEMU) that does nothing but use all of it: reading the file
 * "selftest" of the device checks the registers, lets it compute with an interrupt, and moves a page there and back by
 * DMA, each way ended by an interrupt. Parameter msi=0 keeps it on its INTx line.
 */
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>

#define IDENT		0x00
#define LIVENESS	0x04
#define FACTORIAL	0x08
#define STATUS		0x20
#define IRQ_STATUS	0x24
#define IRQ_RAISE	0x60
#define IRQ_ACK		0x64
#define DMA_SOURCE	0x80
#define DMA_TARGET	0x88
#define DMA_COUNT	0x90
#define DMA_COMMAND	0x98

#define STATUS_INTERRUPT	0x80
#define DMA_START		1
#define DMA_TO_RAM		2
#define DMA_INTERRUPT		4

#define CAUSE_FACTORIAL		0x001
#define CAUSE_DMA		0x100
#define CAUSE_OURS		0x5000

/* The buffer has 4096 bytes; QEMU 7.2 ends itself when a transfer reaches the last. */
#define BUFFER		0x40000
#define SIZE		4092

#define PATIENCE	(5 * HZ)

/* Its name before Linux 6.8. */
#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

static bool msi = true;
module_param(msi, bool, 0444);

struct edu {
	void __iomem *regs;
	struct completion done;
	u32 cause;
	u8 *out, *in;
	dma_addr_t out_bus, in_bus;
};

static irqreturn_t edu_interrupt(int irq, void *data)
{
	struct edu *edu = data;
	u32 cause = readl(edu->regs + IRQ_STATUS);

	if (!cause)
		return IRQ_NONE;
	writel(cause, edu->regs + IRQ_ACK);
	edu->cause |= cause;
	complete(&edu->done);
	return IRQ_HANDLED;
}

static void edu_expect(struct edu *edu)
{
	edu->cause = 0;
	reinit_completion(&edu->done);
}

/* Whether the interrupt came, for this cause and no other. */
static bool edu_came(struct edu *edu, u32 cause)
{
	return wait_for_completion_timeout(&edu->done, PATIENCE) && edu->cause == cause;
}

static bool edu_dma(struct edu *edu, u64 source, u64 target, u32 direction)
{
	edu_expect(edu);
	writel(lower_32_bits(source), edu->regs + DMA_SOURCE);
	writel(lower_32_bits(target), edu->regs + DMA_TARGET);
	writel(SIZE, edu->regs + DMA_COUNT);
	writel(DMA_START | DMA_INTERRUPT | direction, edu->regs + DMA_COMMAND);
	return edu_came(edu, CAUSE_DMA);
}

static const char *edu_use(struct edu *edu)
{
	static u8 round;
	int i;

	if ((readl(edu->regs + IDENT) & 0xff) != 0xed)
		return "the identification register is not edu's";
	writel(0x12345678, edu->regs + LIVENESS);
	if (readl(edu->regs + LIVENESS) != ~0x12345678u)
		return "the liveness register does not invert";

	edu_expect(edu);
	writel(CAUSE_OURS, edu->regs + IRQ_RAISE);
	if (!edu_came(edu, CAUSE_OURS))
		return "no interrupt after it was raised";

	edu_expect(edu);
	writel(STATUS_INTERRUPT, edu->regs + STATUS);
	writel(10, edu->regs + FACTORIAL);
	if (!edu_came(edu, CAUSE_FACTORIAL))
		return "no interrupt after the factorial";
	if (readl(edu->regs + FACTORIAL) != 3628800)
		return "10! is wrong";

	round++;
	for (i = 0; i < SIZE; i++)
		edu->out[i] = i * 7 + i / 251 + round;
	memset(edu->in, 0xa5, SIZE);
	if (!edu_dma(edu, edu->out_bus, BUFFER, 0))
		return "no interrupt after DMA from memory";
	if (!edu_dma(edu, BUFFER, edu->in_bus, DMA_TO_RAM))
		return "no interrupt after DMA to memory";
	if (memcmp(edu->in, edu->out, SIZE))
		return "DMA brought other bytes back";
	return NULL;
}

static ssize_t selftest_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const char *wrong = edu_use(dev_get_drvdata(dev));

	if (!wrong)
		return sysfs_emit(buf, "10! = 3628800, 4092 bytes there and back, 4 interrupts\n");
	dev_err(dev, "%s\n", wrong);
	return -EIO;
}
static DEVICE_ATTR_RO(selftest);

static struct attribute *edu_attrs[] = { &dev_attr_selftest.attr, NULL };
ATTRIBUTE_GROUPS(edu);

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct edu *edu = devm_kzalloc(dev, sizeof(*edu), GFP_KERNEL);
	int err;

	if (!edu)
		return -ENOMEM;
	init_completion(&edu->done);
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	/* The device has 28 address lines. */
	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(28));
	if (err)
		return err;
	pci_set_master(pdev);
	edu->out = dmam_alloc_coherent(dev, SIZE, &edu->out_bus, GFP_KERNEL);
	edu->in = dmam_alloc_coherent(dev, SIZE, &edu->in_bus, GFP_KERNEL);
	if (!edu->out || !edu->in)
		return -ENOMEM;
	err = pci_alloc_irq_vectors(pdev, 1, 1, msi ? PCI_IRQ_MSI : PCI_IRQ_INTX);
	if (err < 0)
		return err;
	pci_set_drvdata(pdev, edu);
	err = request_irq(pci_irq_vector(pdev, 0), edu_interrupt, IRQF_SHARED, "edu", edu);
	if (err)
		pci_free_irq_vectors(pdev);
	return err;
}

static void edu_remove(struct pci_dev *pdev)
{
	free_irq(pci_irq_vector(pdev, 0), pci_get_drvdata(pdev));
	pci_free_irq_vectors(pdev);
}

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, { } };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.dev_groups = edu_groups,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Uses QEMU's edu device");
MODULE_LICENSE("Dual MIT/GPL");
