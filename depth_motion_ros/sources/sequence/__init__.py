"""The sequence folder and the prepared data set: layouts in which this project keeps frames."""
