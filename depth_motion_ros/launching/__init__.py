"""What the launch files check before they start anything. Imports neither launch nor rclpy."""
