"""What tests share: scenes, doubles and harnesses."""
