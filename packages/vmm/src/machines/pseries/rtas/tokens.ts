// RTAS token numbers. Any numbers would do, since a guest learns them from the device tree; these are QEMU 7.2's.
export const RTAS_GET_TIME_OF_DAY = 0x2001;
export const RTAS_POWER_OFF = 0x2003;
export const RTAS_SYSTEM_REBOOT = 0x2004;
export const RTAS_IBM_SET_XIVE = 0x200a;
export const RTAS_IBM_GET_XIVE = 0x200b;
export const RTAS_IBM_INT_OFF = 0x200c;
export const RTAS_IBM_INT_ON = 0x200d;
export const RTAS_IBM_READ_PCI_CONFIG = 0x2016;
export const RTAS_IBM_WRITE_PCI_CONFIG = 0x2017;
export const RTAS_IBM_QUERY_INTERRUPT_SOURCE_NUMBER = 0x2018;
export const RTAS_IBM_CHANGE_MSI = 0x2019;
export const RTAS_IBM_GET_SYSTEM_PARAMETER = 0x200e;
export const RTAS_IBM_QUERY_PE_DMA_WINDOW = 0x2026;
export const RTAS_IBM_CREATE_PE_DMA_WINDOW = 0x2027;
export const RTAS_IBM_REMOVE_PE_DMA_WINDOW = 0x2028;
export const RTAS_IBM_RESET_PE_DMA_WINDOW = 0x2029;
