"""What every node shares: parameters, QoS, messages, transforms, workers, shutdown."""
