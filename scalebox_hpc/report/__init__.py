"""What people read: views, tables, CSV."""
