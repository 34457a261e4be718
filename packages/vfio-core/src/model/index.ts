export * from "./iommu-driver.ts";
