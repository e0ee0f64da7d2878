//! What operators install and look at: the container's file system, the cluster's API, Prometheus with rules and dashboard.

/// A stand-in of the part of the Kubernetes API that the node's state needs.
mod cluster;
/// The root file system of the image, run without rights.
mod container;
/// Prometheus's figures against the export's.
mod figures;
/// The node's key in a Secret.
mod kubernetes;
/// Metrics on the host's own network.
mod metrics_listen;
/// Scrape configuration, rules and dashboard on a real Prometheus.
mod prometheus;
