"""Install, verify and pin models."""
