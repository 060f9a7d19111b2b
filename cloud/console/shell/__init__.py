"""What all sections share: login, rights, layout, language, errors, and the one door every act goes through."""
